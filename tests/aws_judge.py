"""Whether a request that a stand-in of AWS was sent is signed as AWS would have it."""
import datetime
import hashlib
import hmac
import re
import time

import receivers


def check_signature(test, request, url, credentials, region, service="monitoring"):
    """credentials: (id of the key, secret key, session token). Judged by Amazon's own signer too; False: it is not
    installed."""
    key_id, secret, token = credentials
    headers = request.headers
    test.assertEqual(headers["x-amz-security-token"], token)
    match = re.fullmatch(rf"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{{8}})/([^/]+)/{service}/aws4_request, ?"
                         r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})", headers["authorization"])
    test.assertTrue(match, headers["authorization"])
    *who, names, signature = match.groups()
    day = who[1]
    test.assertEqual((who[0], who[2]), (key_id, region))
    stamp = headers["x-amz-date"]
    test.assertEqual(stamp[:8], day)
    age = time.time() - datetime.datetime.strptime(stamp + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
    test.assertTrue(-5 <= age < 600, age)
    for needed in ("host", "x-amz-date", "x-amz-security-token", "x-amz-target", "content-type"):
        test.assertIn(needed, names.split(";"))
    test.assertEqual(names.split(";"), sorted(names.split(";")))
    canonical = "\n".join([
        "POST", "/", "", *(f"{name}:{' '.join(headers[name].split())}" for name in names.split(";")), "", names,
        hashlib.sha256(request.raw).hexdigest()])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, f"{day}/{region}/{service}/aws4_request",
                         hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    test.assertEqual(hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest(), signature)
    botocore = receivers.module("botocore.auth")
    if botocore:
        auth = botocore.SigV4Auth(receivers.module("botocore.credentials").Credentials(key_id, secret), service, region)
        judged = receivers.module("botocore.awsrequest").AWSRequest(
            "POST", url, {name: headers[name] for name in names.split(";")}, request.raw)
        judged.context["timestamp"] = stamp
        test.assertEqual(auth.signature(auth.string_to_sign(judged, auth.canonical_request(judged)), judged), signature)
    return botocore is not None
