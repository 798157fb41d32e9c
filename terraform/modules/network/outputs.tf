output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "public_subnets" {
  description = "Subnet id by zone, for the balancer."
  value       = { for zone, subnet in aws_subnet.public : zone => subnet.id }
}

output "private_subnets" {
  description = "Subnet id by zone, for everything else."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.id }
}

output "private_subnet_arns" {
  description = "The private subnets, as a fault experiment names them."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.arn }
}

output "endpoints_group" {
  description = "Security group of the AWS endpoints."
  value       = aws_security_group.endpoints.id
}

output "s3_prefix_list" {
  description = "S3's addresses, for the hosts' way out."
  value       = data.aws_prefix_list.s3.id
}
