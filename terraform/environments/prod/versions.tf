terraform {
  required_version = ">= 1.11.4, < 2.0.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "= 5.100.0"
    }
  }

  # Where the state is kept is your choice; without this block it is a file beside this one. `terraform/bootstrap`
  # makes such a bucket and prints this block. The state holds no secret value, but it does name everything.
  #
  # backend "s3" {
  #   bucket       = "trace-ACCOUNT-state"
  #   key          = "prod.tfstate"
  #   region       = "eu-west-1"
  #   encrypt      = true
  #   kms_key_id   = "alias/trace-state"
  #   use_lockfile = true
  # }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      Project     = "trace"
      Environment = "prod"
    }
  }
}
