"""A moto server with what moto 5.2 lacks and Terraform asks for while it applies: tags and attributes that are kept as
they were sent. Nothing here decides anything that a test asserts.

    serve.py -H 127.0.0.1 -p PORT
"""

import hashlib
import json

from moto import server
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.budgets.responses import BudgetsResponse
from moto.efs.responses import EFSResponse
from moto.rds.models import DBInstance
from moto.route53.models import route53_backends
from moto.route53resolver.models import Route53ResolverBackend
from moto.route53resolver.responses import Route53ResolverResponse
from moto.servicediscovery.models import ServiceDiscoveryBackend
from moto.sqs.models import Queue

TAGS = {}


def queues_keep_who_may_redrive():
    """`RedriveAllowPolicy` of SQS; and a queue's policy stays when another attribute is set."""
    Queue.BASE_ATTRIBUTES = [*Queue.BASE_ATTRIBUTES, "RedriveAllowPolicy"]
    Queue.redrive_allow_policy = None
    set_attributes = Queue._set_attributes

    def with_its_policy(self, attributes, now=None):
        try:
            policy = self.policy
        except AttributeError:  # It is being made.
            policy = None
        set_attributes(self, {"Policy": policy} | attributes, now)
        # SQS takes an empty text for nothing, and then says nothing.
        self.redrive_allow_policy = self.redrive_allow_policy or None

    Queue._set_attributes = with_its_policy


def scalable_targets_have_tags():
    """`ListTagsForResource` of Application Auto Scaling. A test registers one target."""
    register = ApplicationAutoScalingResponse.register_scalable_target

    def registered(self):
        TAGS["target"] = self._get_param("Tags") or TAGS.get("target", {})
        return register(self)

    ApplicationAutoScalingResponse.register_scalable_target = registered
    ApplicationAutoScalingResponse.list_tags_for_resource = lambda self: json.dumps({"Tags": TAGS.get("target", {})})
    ApplicationAutoScalingResponse.untag_resource = ApplicationAutoScalingResponse.tag_resource = lambda self: "{}"


def budgets_say_whom_they_tell():
    """`DescribeSubscribersForNotification` and `ListTagsForResource` of Budgets. A test makes one budget."""
    create = BudgetsResponse.create_budget

    def created(self):
        TAGS["budget"] = self._get_param("ResourceTags") or []
        TAGS["subscribers"] = self._get_param("NotificationsWithSubscribers") or []
        return create(self)

    def subscribers(self):
        asked = self._get_param("Notification")
        found = [s["Subscribers"] for s in TAGS["subscribers"] if s["Notification"]["NotificationType"] == asked["NotificationType"]]
        return json.dumps({"Subscribers": found[0] if found else []})

    BudgetsResponse.create_budget = created
    BudgetsResponse.describe_subscribers_for_notification = subscribers
    BudgetsResponse.list_tags_for_resource = lambda self: json.dumps({"ResourceTags": TAGS.get("budget", [])})


def query_log_configurations_have_tags():
    """Tags of query log configurations, which moto keeps and then does not find."""
    Route53ResolverBackend._matched_arn = lambda self, resource_arn: None


def query_log_configurations_can_be_deleted():
    """`DisassociateResolverQueryLogConfig` and `DeleteResolverQueryLogConfig` of Route 53 Resolver."""

    def disassociate(self):
        backend = self.route53resolver_backend
        configuration, resource = self._get_param("ResolverQueryLogConfigId"), self._get_param("ResourceId")
        held = backend.resolver_query_log_config_associations
        found = [key for key, one in held.items() if (one.resolver_query_log_config_id, one.resource_id) == (configuration, resource)]
        association = held.pop(found[0])
        backend.resolver_query_log_configs[configuration].association_count -= 1
        return json.dumps({"ResolverQueryLogConfigAssociation": association.description()})

    def delete(self):
        configuration = self.route53resolver_backend.resolver_query_log_configs.pop(self._get_param("ResolverQueryLogConfigId"))
        return json.dumps({"ResolverQueryLogConfig": configuration.description()})

    Route53ResolverResponse.disassociate_resolver_query_log_config = disassociate
    Route53ResolverResponse.delete_resolver_query_log_config = delete


def databases_have_ids_of_their_own():
    """moto gives every database the same resource id, by which Terraform looks for them."""
    make = DBInstance.__init__

    def made(self, *arguments, **more):
        make(self, *arguments, **more)
        self.dbi_resource_id = f"db-{hashlib.sha256(self.db_instance_identifier.encode()).hexdigest()[:26].upper()}"

    DBInstance.__init__ = made


def file_systems_policies_can_be_deleted():
    """`DeleteFileSystemPolicy` of EFS; the policy goes with its file system, a moment later."""
    EFSResponse.delete_file_system_policy = lambda self: "{}"


def namespaces_take_their_zones_with_them():
    """moto makes a hosted zone for a private namespace, and leaves it when the namespace is deleted."""
    delete = ServiceDiscoveryBackend.delete_namespace

    def deleted(self, namespace_id):
        properties = self.namespaces[namespace_id].dns_properties or {}
        operation = delete(self, namespace_id)
        if zone := properties.get("HostedZoneId"):
            route53_backends[self.account_id][self.partition].zones.pop(zone.rpartition("/")[2], None)
        return operation

    ServiceDiscoveryBackend.delete_namespace = deleted


if __name__ == "__main__":
    namespaces_take_their_zones_with_them()
    file_systems_policies_can_be_deleted()
    databases_have_ids_of_their_own()
    queues_keep_who_may_redrive()
    scalable_targets_have_tags()
    budgets_say_whom_they_tell()
    query_log_configurations_have_tags()
    query_log_configurations_can_be_deleted()
    server.main()
