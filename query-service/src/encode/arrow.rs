//! `application/vnd.apache.arrow.stream`.

use datafusion::arrow::{array::RecordBatch, datatypes::SchemaRef, ipc::writer::StreamWriter};

use super::{Buffer, Error, Writer};

pub(super) struct Stream(StreamWriter<Buffer>);

impl Stream {
    pub(super) fn new(schema: &SchemaRef, buffer: Buffer) -> Result<Self, Error> {
        Ok(Self(StreamWriter::try_new(buffer, schema)?))
    }
}

impl Writer for Stream {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        Ok(self.0.write(batch)?)
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>, Error> {
        self.0.finish()?;
        Ok(self.0.into_inner()?.bytes)
    }
}
