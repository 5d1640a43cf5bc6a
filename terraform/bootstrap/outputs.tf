output "repositories" {
  description = "Where images are pushed to."
  value       = { for key, repository in aws_ecr_repository.this : key => repository.repository_url }
}

output "backend" {
  description = "The block for `versions.tf` of an environment; put the environment's name for ENVIRONMENT."
  value       = <<-BLOCK
    backend "s3" {
      bucket       = "${aws_s3_bucket.state.id}"
      key          = "ENVIRONMENT.tfstate"
      region       = "${var.region}"
      encrypt      = true
      kms_key_id   = "${aws_kms_alias.this["state"].name}"
      use_lockfile = true
    }
  BLOCK
}
