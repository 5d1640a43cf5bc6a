//! A download that has begun and is not finished.

use aws_sdk_s3::primitives::ByteStream;

/// The rest of an object that is larger than what connections hold.
pub struct Download {
    rest: ByteStream,
    left: usize,
}

impl Download {
    pub(crate) async fn begin(mut rest: ByteStream, size: usize) -> anyhow::Result<Self> {
        let first = rest.try_next().await?.map_or(0, |chunk| chunk.len());
        anyhow::ensure!(first > 0 && first < size, "{first} bytes of {size} came at once");
        Ok(Self { rest, left: size - first })
    }

    /// Reads on until it ends; answers whether all of it came.
    pub async fn finish(mut self) -> bool {
        while let Ok(Some(chunk)) = self.rest.try_next().await {
            self.left = self.left.saturating_sub(chunk.len());
        }
        self.left == 0
    }
}
