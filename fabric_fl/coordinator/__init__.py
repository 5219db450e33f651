"""The coordinator's side: creating tasks and watching them. It holds nothing; any organisation may be one."""

from fabric_fl.coordinator.declaring import declare_data
from fabric_fl.coordinator.progress import RoundProgress, progress, watch
from fabric_fl.coordinator.taskfile import TaskDraft, TaskFileError, read_task_file
from fabric_fl.coordinator.tasks import create_task, entries_covering

__all__ = [
    "RoundProgress",
    "TaskDraft",
    "TaskFileError",
    "create_task",
    "declare_data",
    "entries_covering",
    "progress",
    "read_task_file",
    "watch",
]
