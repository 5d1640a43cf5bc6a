variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "internal_domains" {
  description = "Names that the platform itself needs, such as `*.s3.eu-west-1.amazonaws.com`."
  type        = list(string)
}

variable "egress_domains" {
  description = "Names that the egress gateway may reach."
  type        = list(string)
}
