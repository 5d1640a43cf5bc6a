variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
  type        = string
}

variable "cluster" {
  description = "The cluster's name."
  type        = string
}

variable "service" {
  description = "The workers' service."
  type        = string
}

variable "wakeups" {
  description = "Wake-up queues by runtime."
  type        = map(object({ arn = string, url = string, name = string }))
}

variable "max_workers" {
  description = "Workers at most."
  type        = number
}

variable "quiet_minutes" {
  description = "Minutes without a message after which workers stop. Longer than tasks usually take."
  type        = number
}
