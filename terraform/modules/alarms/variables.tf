variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
  type        = string
}

variable "environment" {
  description = "The environment, by whose tag costs are told apart."
  type        = string
}

variable "account_id" {
  description = "The account."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
}

variable "key_arn" {
  description = "The key of the topic."
  type        = string
}

variable "emails" {
  description = "Who is told. Each has to confirm once."
  type        = set(string)
}

variable "wakeups" {
  description = "Wake-up queues by runtime."
  type        = map(object({ arn = string, url = string, name = string }))
}

variable "dead" {
  description = "Their dead-letter queues."
  type        = map(object({ arn = string, url = string, name = string }))
}

variable "load_balancer" {
  description = "The load balancer and its target groups, as metrics name them."
  type        = object({ metric = string, dns_name = string, targets = map(string) })
}

variable "databases" {
  description = "Databases by name."
  type        = map(object({ identifier = string }))
}

variable "connections" {
  description = "Connections to a database that are nearly too many."
  type        = number
}

variable "budget_usd" {
  description = "What a month may cost, in US dollars."
  type        = number
}

variable "dns_log_group_name" {
  description = "Where DNS queries are logged."
  type        = string
}
