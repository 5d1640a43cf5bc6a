variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
  type        = string
}

variable "account_id" {
  description = "The account."
  type        = string
}

variable "key_arn" {
  description = "The key that messages are encrypted with."
  type        = string
}

variable "runtimes" {
  description = "Runtimes with a queue of their own, such as `ecs`."
  type        = set(string)
}
