//! `text/csv` with a header line. Lists, structs and maps have no form there.

use datafusion::arrow::{array::RecordBatch, csv, datatypes::SchemaRef};

use super::{Buffer, Error, Writer};

pub(super) struct Csv(Buffer);

impl Csv {
    pub(super) fn new(schema: &SchemaRef, buffer: Buffer) -> Result<Self, Error> {
        if let Some(field) = schema.fields().iter().find(|field| field.data_type().is_nested()) {
            let (name, data_type) = (field.name(), field.data_type());
            return Err(Error::Format(format!(
                "column `{name}` is a {data_type}, which CSV can't hold; ask for json or arrow"
            )));
        }
        let mut csv = Self(buffer);
        // Written here because a result without batches has a header line too.
        csv.put(&RecordBatch::new_empty(schema.clone()), csv::WriterBuilder::new().with_header(true))?;
        Ok(csv)
    }

    /// The writer makes texts of its errors, some of which were the buffer's: what the buffer remembers
    /// is believed first.
    fn put(&mut self, batch: &RecordBatch, how: csv::WriterBuilder) -> Result<(), Error> {
        let written = how.build(&mut self.0).write(batch);
        self.0.is_within()?;
        Ok(written?)
    }
}

impl Writer for Csv {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.put(batch, csv::WriterBuilder::new().with_header(false))
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, Error> {
        Ok(self.0.bytes)
    }
}
