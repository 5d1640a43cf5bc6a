variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
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

variable "subnet_ids" {
  description = "Subnets of databases."
  type        = list(string)
}

variable "group_ids" {
  description = "Security groups by what they are for; each database `X` uses `X_database`."
  type        = map(string)
}

variable "key_arn" {
  description = "The key of databases."
  type        = string
}

variable "log_key_arn" {
  description = "The key of log groups."
  type        = string
}

variable "databases" {
  description = "Databases by name."
  type = map(object({
    instance_class = string
    storage_gib    = number
  }))
}

variable "multi_az" {
  description = "Whether each database has a standby in another zone."
  type        = bool
}

variable "deletion_protection" {
  description = "Whether databases refuse to be deleted, and leave a snapshot when they are."
  type        = bool
}

variable "backup_days" {
  description = "Days to which a database can be taken back."
  type        = number
}

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
}
