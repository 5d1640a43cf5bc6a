output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "subnet_ids" {
  description = "Subnets by kind: public, egress, services, tasks, data."
  value       = local.by_kind
}

output "service_subnets" {
  description = "The services' subnets by place: 0, 1, 2. Known before they are made."
  value       = { for key, subnet in local.subnets : key => aws_subnet.this[key].id if subnet.kind == "services" }
}

output "route_table_ids" {
  description = "Route tables by kind."
  value = merge(
    { for kind, table in aws_route_table.this : kind => [table.id] },
    { egress = aws_route_table.egress[*].id },
  )
}

output "nat_addresses" {
  description = "The addresses that egress comes from: what partners allow-list."
  value       = aws_eip.nat[*].public_ip
}
