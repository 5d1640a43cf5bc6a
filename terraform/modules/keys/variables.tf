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

variable "deletion_window_days" {
  description = "Days between the order to delete a key and its end."
  type        = number
}
