variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
  type        = string
}

variable "environment" {
  description = "First part of the secrets' names."
  type        = string
}

variable "account_id" {
  description = "The account."
  type        = string
}

variable "partition" {
  description = "`aws`, `aws-cn` and so on."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
}

variable "data_bucket_arn" {
  description = "The bucket of blobs and data."
  type        = string
}

variable "key_arns" {
  description = "Keys by purpose."
  type        = map(string)
}

variable "signing_key_arn" {
  description = "The key that certifies the dispatcher's signing key."
  type        = string
}

variable "wakeups" {
  description = "Wake-up queues by runtime."
  type        = map(object({ arn = string, url = string, name = string }))
}

variable "dead" {
  description = "Their dead-letter queues."
  type        = map(object({ arn = string, url = string, name = string }))
}

variable "secret_arns" {
  description = "Secrets by service."
  type        = map(string)
}

variable "log_group_arns" {
  description = "Log groups by what writes them."
  type        = map(string)
}

variable "audit_log_group_arn" {
  description = "Where signed checkpoints of the audit log are kept."
  type        = string
}

variable "repository_arns" {
  description = "Image repositories by what they hold."
  type        = map(string)
}

variable "task_subnet_ids" {
  description = "Subnets of untrusted code."
  type        = list(string)
}

variable "udf_group_id" {
  description = "The security group of untrusted code."
  type        = string
}
