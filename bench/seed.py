"""What the seed's Chalice application does for POST /generate/{prompt}, as a plain function under Lambda's Runtime API."""

import json
import os
import urllib.parse
import urllib.request

import boto3

RUNTIME = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"

bedrock = boto3.client("bedrock-runtime")


def handle(event):
    prompt = urllib.parse.unquote(event["pathParameters"]["prompt"])
    response = bedrock.invoke_model(
        modelId="anthropic.claude-v2:1",
        body=json.dumps({"prompt": f"\n\nHuman: {prompt}\n\nAssistant:", "max_tokens_to_sample": 300}),
    )
    completion = json.loads(response["body"].read())["completion"]
    return {"statusCode": 200, "headers": {"Content-Type": "text/plain"}, "body": completion}


while True:
    with urllib.request.urlopen(RUNTIME + "next") as invocation:
        request_id = invocation.headers["Lambda-Runtime-Aws-Request-Id"]
        answer = handle(json.load(invocation))
    urllib.request.urlopen(RUNTIME + request_id + "/response", data=json.dumps(answer).encode()).close()
