variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
  type        = string
}

variable "key_arn" {
  description = "The key of secrets."
  type        = string
}

variable "subnet_ids" {
  description = "The services' subnets, by zone."
  type        = map(string)
}

variable "group_id" {
  description = "The file system's security group."
  type        = string
}

variable "dispatcher_role_arn" {
  description = "Whose folder it is."
  type        = string
}
