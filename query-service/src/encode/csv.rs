//! `text/csv` with a header line. Lists, structs and maps have no form there.

use datafusion::arrow::{array::RecordBatch, csv, datatypes::SchemaRef};

use super::{Buffer, Error, Writer};

pub(super) struct Csv(csv::Writer<Buffer>);

impl Csv {
    pub(super) fn new(schema: &SchemaRef, mut buffer: Buffer) -> Result<Self, Error> {
        if let Some(field) = schema.fields().iter().find(|field| field.data_type().is_nested()) {
            let (name, data_type) = (field.name(), field.data_type());
            return Err(Error::Format(format!(
                "column `{name}` is a {data_type}, which CSV can't hold; ask for json or arrow"
            )));
        }
        header(schema, &mut buffer)?;
        Ok(Self(csv::WriterBuilder::new().with_header(false).build(buffer)))
    }
}

/// The header line, written here because a result without batches has one too.
fn header(schema: &SchemaRef, buffer: &mut Buffer) -> Result<(), Error> {
    let mut writer = csv::WriterBuilder::new().with_header(true).build(&mut *buffer);
    writer.write(&RecordBatch::new_empty(schema.clone()))?;
    Ok(())
}

impl Writer for Csv {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        Ok(self.0.write(batch)?)
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, Error> {
        Ok(self.0.into_inner().bytes)
    }
}
