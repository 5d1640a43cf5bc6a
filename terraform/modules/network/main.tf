# Five kinds of subnet. What tells them apart is their route table:
#   public    load balancer and NAT        0.0.0.0/0 to the internet gateway
#   egress    the egress gateway alone     0.0.0.0/0 to the NAT gateway
#   services  dispatcher, workers, query   no default route
#   tasks     untrusted code               no default route, a stricter S3 endpoint
#   data      databases                    nothing but the VPC itself

locals {
  zones = slice(sort(data.aws_availability_zones.here.names), 0, var.zones)
  kinds = ["public", "egress", "services", "tasks", "data"]

  subnets = merge([for kind_index, kind in local.kinds : {
    for zone_index, zone in local.zones : "${kind}-${zone_index}" => {
      kind = kind
      zone = zone
      # Sixteenths of the VPC, three for each kind: the largest is for tasks' network interfaces.
      cidr = cidrsubnet(var.cidr, 4, kind_index * 3 + zone_index)
    }
  }]...)

  by_kind = { for kind in local.kinds : kind => [for key in sort(keys(local.subnets)) : aws_subnet.this[key].id if local.subnets[key].kind == kind] }

  # A NAT gateway in each zone in production; elsewhere one is enough. None where nothing may leave.
  nat_zones = var.egress ? (var.nat_per_zone ? length(local.zones) : 1) : 0
}

data "aws_availability_zones" "here" {
  #checkov:skip=CKV_AWS_394:a zone that is added sorts last, so that the first three stay the same ones
  state = "available"
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

# The default group of a VPC lets its members talk to each other and out. Adopted, it has no rule.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-default-unused" }
}

resource "aws_subnet" "this" {
  for_each = local.subnets

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.value.zone
  cidr_block              = each.value.cidr
  map_public_ip_on_launch = false

  tags = { Name = "${var.name}-${each.key}", Kind = each.value.kind }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = var.name }
}

resource "aws_route_table" "this" {
  for_each = toset(["public", "services", "tasks", "data"])

  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_route_table" "egress" {
  count = max(local.nat_zones, 1)

  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-egress-${count.index}" }
}

resource "aws_route_table_association" "this" {
  for_each = local.subnets

  subnet_id = aws_subnet.this[each.key].id
  route_table_id = each.value.kind == "egress" ? (
    aws_route_table.egress[local.nat_zones > 1 ? index(local.zones, each.value.zone) : 0].id
  ) : aws_route_table.this[each.value.kind].id
}

resource "aws_route" "public_to_internet" {
  route_table_id         = aws_route_table.this["public"].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_eip" "nat" {
  #checkov:skip=CKV2_AWS_19:the address belongs to a NAT gateway; there are no EC2 instances
  count = local.nat_zones

  domain = "vpc"

  tags = { Name = "${var.name}-nat-${count.index}" }
}

resource "aws_nat_gateway" "this" {
  count = local.nat_zones

  allocation_id = aws_eip.nat[count.index].id
  subnet_id     = aws_subnet.this["public-${count.index}"].id

  tags = { Name = "${var.name}-${count.index}" }

  depends_on = [aws_internet_gateway.this]
}

resource "aws_route" "egress_to_nat" {
  count = local.nat_zones

  route_table_id         = aws_route_table.egress[count.index].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[count.index].id
}
