# The seed's Terraform, rebuilt from its list of resources, and what Chalice deploys beside it, so that a plan of it can be
# timed. Nothing to deploy: the policies are as wide as the seed's.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = "5.100.0" }
  }
}

variable "region" { default = "ap-northeast-1" }
variable "system_name" { default = "bedrock-app" }
variable "environment" { default = "demo" }
variable "vpc_cidr" { default = "10.0.0.0/16" }
variable "availability_zones" { default = ["ap-northeast-1a", "ap-northeast-1c", "ap-northeast-1d"] }
variable "client" { default = false }

locals {
  name     = "${var.system_name}-${var.environment}"
  account  = data.aws_caller_identity.current.account_id
  services = concat(["execute-api"], var.client ? ["ssm", "ssmmessages", "ec2messages"] : [])
}

provider "aws" {
  region                      = var.region
  skip_credentials_validation = true
  s3_use_path_style           = true
}

data "aws_caller_identity" "current" {}

# vpc.tf
resource "aws_vpc" "this" {
  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = local.name }
}

resource "aws_subnet" "private" {
  count             = length(var.availability_zones)
  vpc_id            = aws_vpc.this.id
  availability_zone = var.availability_zones[count.index]
  cidr_block        = cidrsubnet(var.vpc_cidr, 8, count.index)
  tags              = { Name = "${local.name}-private-${count.index}" }
}

# sg.tf
resource "aws_security_group" "this" {
  name   = local.name
  vpc_id = aws_vpc.this.id
  tags   = { Name = local.name }
}

resource "aws_security_group_rule" "in" {
  type              = "ingress"
  security_group_id = aws_security_group.this.id
  protocol          = "tcp"
  from_port         = 443
  to_port           = 443
  self              = true
}

resource "aws_security_group_rule" "out" {
  type              = "egress"
  security_group_id = aws_security_group.this.id
  protocol          = "tcp"
  from_port         = 443
  to_port           = 443
  self              = true
}

# vpce.tf
resource "aws_vpc_endpoint" "this" {
  for_each            = toset(local.services)
  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = aws_subnet.private[*].id
  security_group_ids  = [aws_security_group.this.id]
  tags                = { Name = "${local.name}-${each.key}" }
}

output "execute_api_endpoint_id" { value = aws_vpc_endpoint.this["execute-api"].id }

# logs.tf
resource "aws_cloudwatch_log_group" "bedrock" {
  name              = "/aws/bedrock/${local.name}/"
  retention_in_days = 90
}

# s3.tf
resource "aws_s3_bucket" "log" { bucket = "${local.name}-log-${local.account}" }

resource "aws_s3_bucket_public_access_block" "log" {
  bucket                  = aws_s3_bucket.log.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "log" {
  bucket = aws_s3_bucket.log.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "bedrock.amazonaws.com" }
      Action    = "s3:*"
      Resource  = ["${aws_s3_bucket.log.arn}/*"]
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:aws:bedrock:${var.region}:${local.account}:*" }
      }
    }]
  })
}

# iam.tf
resource "aws_iam_role" "bedrock" {
  name = "${local.name}-bedrock"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "bedrock.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:aws:bedrock:${var.region}:${local.account}:*" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "bedrock" {
  role = aws_iam_role.bedrock.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.bedrock.arn}:log-stream:aws/bedrock/modelinvocations"
    }]
  })
}

resource "aws_iam_role" "client" {
  count = var.client ? 1 : 0
  name  = "${local.name}-client"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy_attachment" "client" {
  count      = var.client ? 1 : 0
  role       = aws_iam_role.client[0].name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "client" {
  count = var.client ? 1 : 0
  name  = "${local.name}-client"
  role  = aws_iam_role.client[0].name
}

# bedrock-logging.tf
resource "aws_bedrock_model_invocation_logging_configuration" "this" {
  depends_on = [aws_s3_bucket_policy.log, aws_iam_role_policy.bedrock]
  logging_config {
    text_data_delivery_enabled      = true
    image_data_delivery_enabled     = true
    embedding_data_delivery_enabled = true
    s3_config {
      bucket_name = aws_s3_bucket.log.id
      key_prefix  = "bedrock"
    }
    cloudwatch_config {
      log_group_name = aws_cloudwatch_log_group.bedrock.name
      role_arn       = aws_iam_role.bedrock.arn
      large_data_delivery_s3_config {
        bucket_name = aws_s3_bucket.log.id
        key_prefix  = "bedrock-large-data"
      }
    }
  }
}

# ec2.tf
resource "aws_instance" "client" {
  count                       = var.client ? 1 : 0
  ami                         = "ami-0c3fd0f5d33134a76"
  instance_type               = "t3.micro"
  subnet_id                   = aws_subnet.private[0].id
  vpc_security_group_ids      = [aws_security_group.this.id]
  iam_instance_profile        = aws_iam_instance_profile.client[0].name
  associate_public_ip_address = false
}

# What Chalice deploys.
resource "aws_iam_role" "function" {
  name = "${local.name}-function"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "function" {
  role = aws_iam_role.function.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], Resource = "arn:aws:logs:*:*:*" },
      {
        Effect   = "Allow"
        Action   = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]
        Resource = "arn:aws:bedrock:${var.region}::foundation-model/anthropic.claude-v2:1"
      },
    ]
  })
}

resource "aws_lambda_function" "this" {
  function_name    = local.name
  role             = aws_iam_role.function.arn
  runtime          = "python3.11"
  handler          = "app.app"
  filename         = "${path.module}/app.zip"
  source_code_hash = filebase64sha256("${path.module}/app.zip")
  memory_size      = 128
  timeout          = 60
}

resource "aws_lambda_permission" "api" {
  function_name = aws_lambda_function.this.function_name
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.this.execution_arn}/*"
}

resource "aws_api_gateway_rest_api" "this" {
  name = local.name
  body = jsonencode({
    openapi = "3.0.1"
    info    = { title = local.name, version = "1.0" }
    paths = {
      "/generate/{prompt}" = {
        post = {
          parameters = [{ name = "prompt", in = "path", required = true, schema = { type = "string" } }]
          responses  = { "200" = { description = "the completion" } }
          "x-amazon-apigateway-integration" = {
            type       = "aws_proxy"
            httpMethod = "POST"
            uri        = aws_lambda_function.this.invoke_arn
          }
        }
      }
    }
  })
  endpoint_configuration { types = ["PRIVATE"] }
}

resource "aws_api_gateway_rest_api_policy" "this" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = "*"
      Action    = "execute-api:Invoke"
      Resource  = "${aws_api_gateway_rest_api.this.execution_arn}/*"
      Condition = { StringEquals = { "aws:SourceVpce" = aws_vpc_endpoint.this["execute-api"].id } }
    }]
  })
}

resource "aws_api_gateway_deployment" "this" {
  depends_on  = [aws_api_gateway_rest_api_policy.this]
  rest_api_id = aws_api_gateway_rest_api.this.id
}

resource "aws_api_gateway_stage" "this" {
  rest_api_id   = aws_api_gateway_rest_api.this.id
  deployment_id = aws_api_gateway_deployment.this.id
  stage_name    = "api"
}
