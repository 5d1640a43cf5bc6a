variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
  type        = string
}

variable "environment" {
  description = "The environment: first part of secrets' and log groups' names."
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

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets by kind."
  type        = map(list(string))
}

variable "route_table_ids" {
  description = "Route tables by kind."
  type        = map(list(string))
}

variable "group_ids" {
  description = "Security groups by what they are for."
  type        = map(string)
}

variable "interface_zones" {
  description = "Zones that interface endpoints have an address in. Each costs by the hour."
  type        = number
}

variable "key_arns" {
  description = "Keys by purpose."
  type        = map(string)
}

variable "signing_key_arn" {
  description = "The key that certifies the dispatcher's signing key."
  type        = string
}

variable "data_bucket_arn" {
  description = "The bucket of blobs and data."
  type        = string
}

variable "session_role_arn" {
  description = "The role whose sessions attempts get."
  type        = string
}

variable "dispatcher_role_arn" {
  description = "The dispatcher's role."
  type        = string
}

variable "repository_arns" {
  description = "The image repositories that may be pulled from."
  type        = list(string)
}

variable "issuer_service_name" {
  description = "The endpoint service of the issuer of users' tokens, if it has one."
  type        = string
  default     = null
}
