"""Downloads one object with boto3, times `download_file` alone, and prints the line of Syne Tune's Reporter.

Arguments: a JSON file with parameters of boto3's TransferConfig, bucket, key, file to write.
"""

import json
import os
import sys
import time

import boto3
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore.config import Config


def main(parameters, bucket, key, out):
    with open(parameters) as file:
        parameters = json.load(file)

    # botocore keeps 10 connections by default: more threads than that would wait for, and throw away, connections.
    client_options = dict(max_pool_connections=max(10, parameters["max_concurrency"]))
    if os.environ.get("S3TUNE_NO_SIGN_REQUEST") == "1":
        client_options["signature_version"] = UNSIGNED
    # boto3 before 1.28 does not read these variables itself.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    client = boto3.client("s3", endpoint_url=endpoint, config=Config(**client_options))

    transfer = TransferConfig(**parameters)
    # Where awscrt is installed, boto3 may choose it on some machines, and it ignores most of the parameters. Older
    # versions have no such attribute and ignore it.
    transfer.preferred_transfer_client = "classic"

    started = time.perf_counter()
    client.download_file(bucket, key, out, Config=transfer)
    seconds = time.perf_counter() - started
    print("[tune-metric]: " + json.dumps(dict(download_time=seconds)), flush=True)


main(*sys.argv[1:])
