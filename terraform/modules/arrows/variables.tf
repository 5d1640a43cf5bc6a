variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "s3_prefix_list_id" {
  description = "S3's addresses in this region, as a managed prefix list."
  type        = string
}

variable "egress" {
  description = "Whether the egress gateway may reach the internet."
  type        = bool
}
