output "data_bucket" {
  description = "The bucket of blobs and data."
  value       = aws_s3_bucket.data.id
}

output "logs_bucket" {
  description = "The bucket of access logs, once it takes them."
  value       = aws_s3_bucket_policy.logs.bucket
}
