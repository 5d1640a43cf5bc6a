output "databases" {
  description = "By name: `address`, `port`, `database` and the secret with the master password."
  value = { for key, instance in aws_db_instance.this : key => {
    identifier    = instance.identifier
    address       = instance.address
    port          = instance.port
    database      = instance.db_name
    master_secret = try(instance.master_user_secret[0].secret_arn, null)
  } }
}
