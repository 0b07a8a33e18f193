"""boto3_engines.py ENGINE get|null|get-many ENDPOINT BUCKET KEY OUT COUNT

boto3 with its defaults, and boto3 over the CRT (AWS's C client). The public switch to the CRT,
preferred_transfer_client="crt", ignores the endpoint, so the same parts of s3transfer are put together here.
"""

import os
import sys

ENGINE, VERB, ENDPOINT, BUCKET, KEY, OUT, COUNT = sys.argv[1:8]
REGION = os.environ["AWS_REGION"]


class Null:
    """A file object that counts and forgets; it cannot seek, so parts come in order."""

    def __init__(self):
        self.bytes = 0

    def write(self, data):
        self.bytes += len(data)
        return len(data)


def boto3_manager():
    import boto3
    from boto3.s3.transfer import TransferConfig, create_transfer_manager
    from botocore.config import Config

    client = boto3.client("s3", endpoint_url=ENDPOINT, config=Config(s3={"addressing_style": "path"}))
    return create_transfer_manager(client, TransferConfig())


def crt_manager():
    import botocore.session
    from s3transfer import crt

    tls = ENDPOINT.startswith("https")
    session = botocore.session.get_session()
    credentials = crt.BotocoreCRTCredentialsWrapper(session.get_credentials()).to_crt_credentials_provider()
    verify = os.environ.get("AWS_CA_BUNDLE") if tls else None
    client = crt.create_s3_crt_client(REGION, credentials, use_ssl=tls, verify=verify)
    serializer = crt.BotocoreCRTRequestSerializer(session, {"region_name": REGION, "endpoint_url": ENDPOINT})
    return crt.CRTTransferManager(client, serializer)


def main():
    with boto3_manager() if ENGINE == "boto3" else crt_manager() as manager:
        if VERB == "get":
            manager.download(BUCKET, KEY, OUT).result()
        elif VERB == "null":
            null = Null()
            manager.download(BUCKET, KEY, null).result()
            print(null.bytes)
        else:
            names = [f"{i:05}" for i in range(int(COUNT))]
            for future in [manager.download(BUCKET, KEY + name, os.path.join(OUT, name)) for name in names]:
                future.result()


main()
