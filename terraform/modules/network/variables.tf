variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
  type        = string
}

variable "account_id" {
  description = "The account."
  type        = string
}

variable "cidr" {
  description = "The VPC's addresses, a /16 to /20."
  type        = string
}

variable "zones" {
  description = "Availability zones, 2 or 3."
  type        = number
}

variable "egress" {
  description = "Whether the egress gateway's subnets have a way out."
  type        = bool
}

variable "nat_per_zone" {
  description = "Whether each zone has a NAT gateway of its own."
  type        = bool
}

variable "flow_log_group_arn" {
  description = "Where flow logs go."
  type        = string
}

variable "dns_log_group_arn" {
  description = "Where DNS queries are logged."
  type        = string
}
