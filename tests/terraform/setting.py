"""Roots that are applied on moto: what they declare, what of it moto can do, and Terraform itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEFT = tomllib.loads((Path(__file__).parent / "left.toml").read_text())
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
# Account, endpoints and state are moto's and this machine's; everything else is as it is applied.
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


def declared(folder, prefix=""):
    """Addresses of all resources below a root, without indices, as its files have them."""
    found = set()
    for file in folder.glob("*.tf"):
        text = file.read_text()
        for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', text, re.MULTILINE):
            found.add(f"{prefix}{kind}.{name}")
        modules = re.findall(r'^module "(\w+)" \{(.*?)^\}', text, re.MULTILINE | re.DOTALL)
        for name, body in modules:
            source = re.search(r'^\s+source\s*=\s*"(.+)"', body, re.MULTILINE)[1]
            found |= declared((folder / source).resolve(), f"{prefix}module.{name}.")
    return found


def matching(root, addresses, why):
    """Those addresses that stand in one table of `left.toml`."""
    patterns = LEFT[root].get(why, {})
    return {one for one in addresses if any(fnmatchcase(one, pattern) for pattern in patterns)}


def unindexed(address):
    return re.sub(r"\[[^\]]*\]", "", address)


@dataclass
class Applied:
    """A root with a state of its own, on moto."""

    folder: Path
    name: str
    moto: str
    variables: dict

    @property
    def root(self):
        return self.folder.name

    @property
    def whole(self):
        """What moto applies, with what it then tells differently."""
        every = declared(self.folder)
        return every - matching(self.root, every, "lacks")

    @property
    def steady(self):
        """What moto applies and finds as it was applied."""
        unsteady = matching(self.root, self.whole, "drifts")
        return self.whole - unsteady - matching(self.root, self.whole, "beside")

    def apply(self):
        self.run("apply", "-auto-approve", *self._given(self.whole))

    def plan(self):
        """0 where nothing is to be done, 2 where something is."""
        done = self.try_("plan", "-detailed-exitcode", *self._given(self.steady))
        assert done.returncode in {0, 2}, done.stderr
        return done

    def changed(self):
        """Addresses of what a plan of everything would change, without indices."""
        plan = f"{self.name}.plan"
        self.run("plan", f"-out={plan}", *self._given(self.whole))
        told = json.loads(self.run("show", "-json", plan).stdout)["resource_changes"]
        return {
            unindexed(one["address"])
            for one in told
            if one["mode"] == "managed" and one["change"]["actions"] != ["no-op"]
        }

    def forget(self, *addresses):
        self.run("state", "rm", self._state, *addresses)

    def destroy(self):
        return self.run("destroy", "-auto-approve", *self._given(self.whole)).stdout

    def made(self):
        """Addresses of what is in the state, without indices."""
        listed = self.run("state", "list", self._state).stdout.split()
        return {unindexed(one) for one in listed if not re.search(r"(^|\.)data\.", one)}

    def outputs(self):
        told = json.loads(self.run("output", "-json", self._state).stdout)
        return {name: one["value"] for name, one in told.items()}

    def run(self, *arguments):
        done = self.try_(*arguments)
        assert done.returncode == 0, (arguments[0], done.stdout[-4_000:], done.stderr[-4_000:])
        return done

    def try_(self, *arguments):
        return subprocess.run(
            ["terraform", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
            env=os.environ
            | CREDENTIALS
            | {"AWS_ENDPOINT_URL": self.moto, "TF_CLI_CONFIG_FILE": "", "CHECKPOINT_DISABLE": "1"},
        )

    @property
    def _state(self):
        return f"-state={self.name}.tfstate"

    def _given(self, addresses):
        file = "global.tfvars" if self.root == "global" else f"regions/{self.name}.tfvars"
        variables = {"aws_max_retries": "2"} | self.variables
        return [
            *("-no-color", "-input=false", self._state, f"-var-file={file}"),
            *(f"-var={name}={value}" for name, value in variables.items()),
            *(f"-target={one}" for one in sorted(addresses)),
        ]
