"""Deploying and deleting the stack with AWS SAM's own command, and what is there before and after."""

from dataclasses import dataclass

import boto3

import tools
from server import Ministack
from tools import ROOT, check, run

NAME = "kinglet"
INPUT, OUTPUT, ELSEWHERE = "words-in", "words-out", "elsewhere"

# Where `sam build` puts what it has built, and `sam deploy` looks for it.
BUILT = ROOT / ".aws-sam" / "build"


class Aws:
    """Clients of somebody: of root, or of whose keys are given."""

    def __init__(self, server: Ministack, keys: dict[str, str] | None = None):
        names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
        # boto3 reads these where it is not told, too.
        self.env = server.environment() | (keys or {})
        session = boto3.Session(*(self.env.get(name) for name in names), region_name=self.env["AWS_REGION"])
        # One try for each call: a retry could hide what is wrong.
        once = boto3.session.Config(
            retries={"mode": "standard", "total_max_attempts": 1}, s3={"addressing_style": "path"}
        )
        how = {"endpoint_url": server.url, "verify": self.env["AWS_CA_BUNDLE"], "config": once}
        self.s3, self.dynamodb, self.functions = (session.client(n, **how) for n in ["s3", "dynamodb", "lambda"])
        self.cloudformation, self.logs = (session.client(n, **how) for n in ["cloudformation", "logs"])
        self.iam, self.sts, self.kms, self.events = (session.client(n, **how) for n in ["iam", "sts", "kms", "events"])
        self.sqs, self.sns, self.ec2 = (session.client(n, **how) for n in ["sqs", "sns", "ec2"])
        self.cloudwatch = session.client("cloudwatch", **how)
        self.states, self.scheduler = (session.client(n, **how) for n in ["stepfunctions", "scheduler"])


@dataclass
class Stack:
    """A stack that is deployed, as its outputs tell."""

    server: Ministack
    root: Aws
    outputs: dict[str, str]

    def role(self, of: str) -> str:
        """The name of a function's role, from the logical id of the function."""
        name = self.outputs[f"{of}Name"]
        arn = self.root.functions.get_function_configuration(FunctionName=name)["Role"]
        return arn.rsplit("/", 1)[-1]

    def arn(self, function: str) -> str:
        return self.root.functions.get_function_configuration(FunctionName=self.outputs[function])["FunctionArn"]


def build() -> None:
    """`sam build`, as a user does it: cargo-lambda builds each function. Only with less optimisation, which takes most of the time and
    changes nothing that is looked at here."""
    run("sam", "build", env=tools.sam_env({"CARGO_PROFILE_RELEASE_OPT_LEVEL": "1"}))


def deploy(server: Ministack, **parameters: str) -> Stack:
    """`sam deploy`, which makes the stack or changes it."""
    given = {"InputBucket": INPUT, "OutputBucket": OUTPUT} | parameters
    overrides = [f"{name}={value}" for name, value in given.items()]
    command = ["sam", "deploy", "--no-confirm-changeset", "--parameter-overrides", *overrides]
    run(*command, env=tools.sam_env(server.environment()))
    root = Aws(server)
    described = root.cloudformation.describe_stacks(StackName=NAME)["Stacks"][0]
    check(described["StackStatus"].endswith("_COMPLETE"), f"the stack is {described['StackStatus']}")
    return Stack(server, root, {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]})


def delete(server: Ministack) -> None:
    """`sam delete`, of the stack and of the one in which SAM keeps what it uploads."""
    for name in [NAME, "aws-sam-cli-managed-default"]:
        run(
            "sam",
            "delete",
            "--no-prompts",
            "--stack-name",
            name,
            "--region",
            server.environment()["AWS_REGION"],
            env=tools.sam_env(server.environment()),
        )


def inventory(root: Aws) -> dict[str, list[str]]:
    """Everything that this stack, or a job on it, could leave behind."""

    def names(pages: object, key: str, name: str | None) -> list[str]:
        return sorted(entry[name] if name else entry for page in pages for entry in page[key])

    def all_of(client: object, operation: str, key: str, name: str | None, **how: str) -> list[str]:
        return names(client.get_paginator(operation).paginate(**how), key, name)

    return {
        "stacks": sorted(
            stack["StackName"]
            for page in root.cloudformation.get_paginator("list_stacks").paginate()
            for stack in page["StackSummaries"]
            if stack["StackStatus"] != "DELETE_COMPLETE"
        ),
        "tables": all_of(root.dynamodb, "list_tables", "TableNames", None),
        "buckets": sorted(bucket["Name"] for bucket in root.s3.list_buckets()["Buckets"]),
        "functions": all_of(root.functions, "list_functions", "Functions", "FunctionName"),
        "roles": all_of(root.iam, "list_roles", "Roles", "RoleName"),
        "policies": all_of(root.iam, "list_policies", "Policies", "PolicyName", Scope="Local"),
        "log groups": all_of(root.logs, "describe_log_groups", "logGroups", "logGroupName"),
        "schedules": all_of(root.events, "list_rules", "Rules", "Name"),
        "alarms": all_of(root.cloudwatch, "describe_alarms", "MetricAlarms", "AlarmName"),
        "dashboards": all_of(root.cloudwatch, "list_dashboards", "DashboardEntries", "DashboardName"),
        "queues": root.sqs.list_queues().get("QueueUrls", []),
    }
