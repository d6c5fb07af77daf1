"""Which mappings listen to a topic, from their files alone."""

from bridge.cli.visit.listeners import Listening, listening_to
from bridge.mapping.definition import MappingDefinition, StatusDefinition, WorkflowDefinition

WORKFLOW = WorkflowDefinition(template="t")


def test_listeners_are_found_by_topic_and_connection_with_the_devices_own_status_topic():
    """Captures are filled from the topic; a mapping of another connection hears nothing."""
    definitions = (
        MappingDefinition(
            name="boiler",
            topic=("sensors/{site}/boiler/{device}/temperature",),
            workflow=WORKFLOW,
            status=StatusDefinition(topic="panels/{device}/{site}"),
        ),
        MappingDefinition(name="all", topic=("sensors/#",), connection="plant", workflow=WORKFLOW),
        MappingDefinition(name="office", topic=("sensors/#",), connection="office", workflow=WORKFLOW),
        MappingDefinition(name="press", topic=("sensors/+/press/#",), workflow=WORKFLOW),
    )
    found = listening_to("sensors/hall-1/boiler/7/temperature", "plant", definitions)
    assert found == (Listening("boiler", "panels/7/hall-1"), Listening("all"))
    assert listening_to("lamps/1", "plant", definitions) == ()
