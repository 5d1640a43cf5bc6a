output "s3_ids" {
  description = "The S3 endpoints, which the bucket's policy asks for."
  value       = [aws_vpc_endpoint.s3_tasks.id, aws_vpc_endpoint.s3_services.id]
}
