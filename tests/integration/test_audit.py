"""The auditor's commands on a journal of real records, and anchors and keys kept in AWS."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from itertools import count

import boto3
import msgspec
import numpy as np
import pytest
from botocore.config import Config
from cryptography.hazmat.primitives import serialization
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from app.features.reference import REFERENCE
from app.ids import DecisionIds, locate
from app.record.anchor import Anchorer, FolderAnchors
from app.record.anchor_s3 import AnchorConflict, S3Anchors
from app.record.audit import exported
from app.record.commands import app
from app.record.decision import DecisionRecord, encode
from app.record.frames import Kind, segments_of
from app.record.gap import Gap, encode_gap
from app.record.journal import KEYRING, open_journal
from app.record.kms import KmsSigner
from app.record.signing import Keyring, ensure_signing_key
from app.record.verify import verify
from regions.topology import load_topology

REGION = "us-east-1"
NUMBER = load_topology().region(REGION).number
NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000


def decision(decision_id, at):
    numbers = np.arange(len(REFERENCE.numbers), dtype="<f4")
    numbers[1] = np.nan
    return DecisionRecord(
        tenant="acme",
        decision_id=decision_id,
        attempt_id=f"att_{at}",
        received_ms=NOW_MS + at,
        as_of_ms=NOW_MS + at,
        request=b'{"attempt_id":"att","amount":{"value":2500,"currency":"USD"}}',
        amount_ref=2_500,
        entities={"card": "tok_12345678"},
        bits={"card": 1},
        merchant={"tier": "standard"},
        action="step_up",
        score=0.125,
        ranking=0.125,
        rung="full",
        not_higher={},
        reasons=["AMOUNT_UNUSUAL"],
        versions={"features": str(REFERENCE.schema), "policy": "7"},
        numbers=numbers.tobytes(),
        categories=[b"present"] * len(REFERENCE.categories),
        deadline_ms=80,
        took_ms=3.5,
    )


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def signer(home):
    return ensure_signing_key(home / "secrets" / "journal-key")


@pytest.fixture
def decided(home, signer):
    """Ids of ten decisions in a closed and anchored journal."""
    folder = home / REGION / "journal"
    journal = open_journal(folder, region=NUMBER, signer=signer, segment_bytes=4_096)
    ids = DecisionIds(region=NUMBER, writer=journal.writer)
    made = [ids.new() for _ in range(10)]
    for at, decision_id in enumerate(made):
        payload = encode(decision(decision_id, at))
        journal.append(Kind.DECISION, payload, unix_ms=locate(made[0]).unix_ms + at)
    gap = encode_gap(Gap(missed=3, since_ms=NOW_MS, until_ms=NOW_MS))
    journal.append(Kind.GAP, gap)
    journal.close()
    Anchorer(folder, FolderAnchors(home / "anchors" / REGION), now_ms=lambda: NOW_MS).step()
    return made


def run(home, *words):
    return CliRunner().invoke(app, ["audit", *words, "--home", str(home)])


def damage(home):
    path = segments_of(home / REGION / "journal" / "00000")[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_journal_as_written_verifies_with_exit_code_0(home, decided):
    done = run(home, "verify", "--json")
    said = json.loads(done.stdout)
    assert (done.exit_code, said["ok"]) == (0, True)
    report = said["regions"][REGION]
    assert (report["writers"], report["missed"], report["unanchored"]) == (1, 3, 0)
    assert "as written" in run(home, "verify").stdout


def test_damage_is_shown_with_its_place_and_exit_code_1(home, decided):
    damage(home)
    done = run(home, "verify", "--json")
    (finding,) = json.loads(done.stdout)["regions"][REGION]["findings"]
    assert done.exit_code == 1
    assert finding["file"].startswith("00000/00000001-")
    assert "chain breaks" in finding["what"]
    assert "NOT as written" in run(home, "verify").stdout


def test_a_decision_is_shown_with_its_reasons_and_inputs_by_name(home, decided):
    said = json.loads(run(home, "show", decided[4], "--json").stdout)
    assert (said["decision_id"], said["region"]) == (decided[4], REGION)
    assert said["asked"]["amount"] == {"value": 2500, "currency": "USD"}
    assert (said["answered"]["action"], said["answered"]["rung"]) == ("step_up", "full")
    assert said["reasons"][0]["text"] == "The amount is unusually high for this merchant."
    assert said["inputs"][REFERENCE.numbers[2]] == 2.0
    assert said["inputs"][REFERENCE.numbers[1]] is None
    assert said["inputs"][REFERENCE.categories[0]] == "present"
    assert said["versions"]["policy"] == "7"
    assert "unusually high" in run(home, "show", decided[4]).stdout


def test_a_decision_that_is_not_there_is_one_sentence(home, decided):
    other = DecisionIds(region=NUMBER, writer=0).new()
    assert "does not hold" in str(run(home, "show", other).exception)
    elsewhere = DecisionIds(region=NUMBER + 1, writer=0).new()
    assert "its journal is not here" in str(run(home, "show", elsewhere).exception)
    assert "no decision id" in str(run(home, "show", "dec_1").exception)


def day(decision_id, *, plus=0):
    """Midnight of a decision's day."""
    moment = datetime.fromtimestamp((locate(decision_id).unix_ms + plus * DAY_MS) / 1_000, UTC)
    return moment.date().isoformat()


def export(home, decided, out, *, start=0):
    times = ["--from", day(decided[0], plus=start), "--to", day(decided[0], plus=start + 2)]
    return run(home, "export", *times, "--out", str(out), "--json")


def test_an_export_holds_every_record_with_its_event_id(home, decided, tmp_path):
    out = tmp_path / "out.jsonl"
    done = export(home, decided, out)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert json.loads(done.stdout) == {"file": str(out), "records": len(lines), "damaged": []}
    decisions = [line for line in lines if line["kind"] == "decision"]
    assert [line["record"]["decision_id"] for line in decisions] == decided
    assert [line["event"]["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert [line["record"]["missed"] for line in lines if line["kind"] == "gap"] == [3]
    assert not list(tmp_path.glob("*.part"))


def test_an_export_of_another_time_is_empty(home, decided, tmp_path):
    out = tmp_path / "out.jsonl"
    assert json.loads(export(home, decided, out, start=-4).stdout)["records"] == 0
    assert not out.read_bytes()


def test_an_export_takes_the_first_moment_and_leaves_the_last(home, decided):
    start = locate(decided[0]).unix_ms
    lines = exported(
        home / REGION / "journal", since_ms=start + 2, until_ms=start + 5, damaged=pytest.fail
    )
    found = [line["record"]["decision_id"] for line in lines if line["kind"] == "decision"]
    assert found == decided[2:5]


def test_an_export_says_what_damage_kept_it_from_reading(home, decided, tmp_path):
    damage(home)
    done = export(home, decided, tmp_path / "out.jsonl")
    assert done.exit_code == 1
    assert len(json.loads(done.stdout)["damaged"]) == 1


def test_a_home_without_a_journal_is_one_sentence(home):
    assert "no journal of any region" in str(run(home, "verify").exception)


@pytest.fixture(scope="module")
def aws():
    """Clients of AWS interfaces on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()

    def client(service):
        return boto3.client(
            service,
            endpoint_url=f"http://{host}:{port}",
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard"}),
        )

    yield client
    server.stop()


@pytest.fixture
def bucket(aws):
    s3 = aws("s3")
    name = f"anchors-{os.urandom(4).hex()}"
    s3.create_bucket(Bucket=name)
    return s3, name


def test_anchors_in_s3_hold_the_journal_to_its_past(bucket, home, decided, signer, tmp_path):
    s3, name = bucket
    folder = home / REGION / "journal"
    sink = S3Anchors(s3, bucket=name, prefix=f"{REGION}/", host="host-1")
    clock = count(NOW_MS, 1_000)
    anchorer = Anchorer(folder, sink, now_ms=lambda: next(clock))
    writers = [open_journal(folder, region=NUMBER, signer=signer) for _ in range(2)]
    for _ in range(3):
        for journal in writers:
            journal.append(Kind.DECISION, encode(decision("dec", 1)))
        assert anchorer.step() == 2
    for journal in writers:
        journal.close()
    fetched = FolderAnchors(tmp_path / "fetched")
    assert sink.fetch(fetched) == 3  # one object a step, with all heads
    keyring = Keyring(folder / KEYRING)
    assert verify(folder, keyring, fetched, region=NUMBER).ok
    shutil.rmtree(folder / "00001")
    assert not verify(folder, keyring, fetched, region=NUMBER).ok


def test_an_anchor_in_s3_is_never_written_over(bucket, home, decided):
    s3, name = bucket
    (anchor,) = FolderAnchors(home / "anchors" / REGION).of(0)
    sink = S3Anchors(s3, bucket=name, prefix="", host="host-1")
    sink.put([anchor])
    sink.put([anchor])  # a repeated request
    with pytest.raises(AnchorConflict, match="holds other heads"):
        sink.put([msgspec.structs.replace(anchor, head="0" * 64)])


def test_a_key_in_kms_vouches_for_the_key_that_seals(aws, home, decided, signer, tmp_path):
    kms = aws("kms")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    root = KmsSigner(kms, key)
    pem = tmp_path / "root.pem"
    pem.write_bytes(
        root.public_key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    assert run(home, "verify", "--root", str(pem)).exit_code == 1
    Keyring(home / REGION / "journal" / KEYRING).endorse(signer.public_key, by=root)
    assert run(home, "verify", "--root", str(pem)).exit_code == 0
