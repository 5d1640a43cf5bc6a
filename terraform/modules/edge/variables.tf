variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Public subnets."
  type        = list(string)
}

variable "group_id" {
  description = "The load balancer's security group."
  type        = string
}

variable "targets" {
  description = "Users' ports of `dispatcher` and `query`."
  type        = map(number)
}

variable "backend_protocol" {
  description = "`HTTPS` once the services' listeners speak TLS; `HTTP` until then."
  type        = string
}

variable "domain" {
  description = "The public name of the platform."
  type        = string
}

variable "zone_id" {
  description = "The hosted zone to put the name into; none: the DNS is kept elsewhere."
  type        = string
}

variable "certificate_arn" {
  description = "The certificate of the public name."
  type        = string
}

variable "logs_bucket" {
  description = "The bucket of access logs."
  type        = string
}

variable "waf_log_group_arn" {
  description = "Where the firewall logs."
  type        = string
}

variable "requests_per_5_minutes" {
  description = "Requests of one address in five minutes; more are answered 429."
  type        = number
}

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be deleted."
  type        = bool
}
