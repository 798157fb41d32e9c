"""What moto can do is applied, planned again and destroyed, region by region (`make terraform-moto`).

Not part of `make test`: minutes, and what moto lacks is left out by name below.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from regions.topology import load_topology

ROOT = Path(__file__).resolve().parents[2]
BUCKETS = ("record", "anchors", "models")
# What moto 5.2 applies, finds unchanged and destroys. Left out: ElastiCache, autoscaling, ECS,
# balancer and firewall (drift or missing calls), Kinesis (drops tags) and the dashboard that names
# it, replica keys, composite alarms; of buckets, access logs (moto wants a grant that AWS gave up)
# and lifecycles.
WORKS = {
    "global": ["aws_route53_zone.this", "aws_ecr_repository.this", "aws_kms_alias.endorsing"],
    "region": [
        "aws_kms_alias.this",
        "module.record.aws_s3_bucket_object_lock_configuration.this",
        *(f"module.{one}.aws_s3_bucket_public_access_block.this" for one in BUCKETS),
        *(
            f"module.{one}.aws_s3_bucket_server_side_encryption_configuration.this"
            for one in BUCKETS
        ),
        "module.network.aws_subnet.private",
        "module.network.aws_route_table_association.private",
        "module.network.aws_vpc_endpoint.s3",
        "aws_security_group.hosts",
        "aws_secretsmanager_secret.shared",
        "aws_sns_topic.alarms",
    ],
}
OVERRIDE = """
terraform {
  backend "local" {}
}
provider "aws" {
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}
"""


@pytest.fixture(scope="module")
def moto():
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    plugins = os.environ.get("STEPDOWN_TF_PLUGIN_DIR")
    if shutil.which("terraform") is None or plugins is None:
        pytest.skip("needs terraform, and STEPDOWN_TF_PLUGIN_DIR with the AWS provider")
    copy = tmp_path_factory.mktemp("moto")
    ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*")
    shutil.copytree(ROOT / "terraform", copy / "terraform", ignore=ignored)
    (copy / "regions").mkdir()
    shutil.copy(ROOT / "regions/topology.yaml", copy / "regions")
    for root in WORKS:
        (copy / "terraform" / root / "moto_override.tf").write_text(OVERRIDE)
    return copy / "terraform"


def terraform(folder: Path, moto: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return subprocess.run(
        ["terraform", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        env=os.environ | credentials | {"AWS_ENDPOINT_URL": moto, "TF_CLI_CONFIG_FILE": ""},
    )


@pytest.mark.parametrize(
    ("root", "name"),
    [("global", "global"), *(("region", region) for region in load_topology().regions)],
)
@pytest.mark.timeout(900)
def test_what_moto_can_do_is_applied_found_unchanged_and_destroyed(tree, moto, root, name):
    folder = tree / root
    variables = "global.tfvars" if root == "global" else f"regions/{name}.tfvars"
    given = [
        *("-no-color", "-input=false", f"-var-file={variables}", "-var=aws_max_retries=2"),
        *(f"-target={target}" for target in WORKS[root]),
    ]
    state = f"-state={name}.tfstate"
    plugins = f"-plugin-dir={os.environ['STEPDOWN_TF_PLUGIN_DIR']}"
    for arguments in (
        ("init", "-no-color", plugins),
        ("apply", "-auto-approve", state, *given),
        ("plan", "-detailed-exitcode", state, *given),  # 2 is: not as it was applied
        ("destroy", "-auto-approve", state, *given),
    ):
        done = terraform(folder, moto, *arguments)
        assert done.returncode == 0, (arguments[0], done.stdout[-4_000:], done.stderr[-4_000:])
    assert re.search(r"Destroy complete! Resources: [1-9]", done.stdout)
