"""moto, with what its ECS answers put right: sizes of containers are texts there, as in ECS itself, and the same
client token starts no second task."""

import threading

from moto import server
from moto.ecs import models, responses


def sizes_are_texts():
    made = models.Container.__init__

    def with_texts(self, *arguments, **named):
        made(self, *arguments, **named)
        self.cpu, self.memory = str(self.cpu), str(self.memory)

    models.Container.__init__ = with_texts


def a_client_token_starts_one_task():
    answered, lock = {}, threading.Lock()
    run = responses.EC2ContainerServiceResponse.run_task

    def once(self):
        token = self._get_param("clientToken")
        with lock:
            if not token or token not in answered:
                answered[token] = run(self)
            return answered[token]

    responses.EC2ContainerServiceResponse.run_task = once


if __name__ == "__main__":
    sizes_are_texts()
    a_client_token_starts_one_task()
    server.main()
