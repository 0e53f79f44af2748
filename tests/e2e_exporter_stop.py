"""Far ends that take nothing hold up neither the agent's loop, nor a reload, nor the end."""
import os
import signal
import socket
import unittest

from agent_fixture import Agent, main, wait_for


def of_file(path, keep=4):
    return f'[exporters.file]\ntype = "json_lines"\npath = "{path}"\nkeep = {keep}\ninterval = "200ms"\n'


def exporter(agent, name="file"):
    return next(one for one in agent.status()["exporters"] if one["name"] == name)


class Stop(unittest.TestCase):
    def moves_on(self, agent):
        """Polls are still published."""
        before = agent.page().values("hw_energy_joules_total")
        wait_for("energy to grow", lambda: agent.page().values("hw_energy_joules_total") != before)

    def test_a_pipe_that_nobody_reads(self):
        with Agent() as agent:
            pipe = agent.path / "pipe"
            os.mkfifo(pipe)
            agent.write_config(of_file(pipe))
            agent.signal(signal.SIGHUP)
            wait_for("its state", lambda: agent.status()["exporters"] and "nobody reads" in exporter(agent)["message"])
            self.assertEqual(exporter(agent)["state"], "waiting")
            self.moves_on(agent)
            # Full, with a reader that takes nothing.
            reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            agent.write_config(of_file(pipe, 3))
            agent.signal(signal.SIGHUP)
            self.moves_on(agent)
            # What follows under the name begins when that has ended.
            agent.write_config(of_file(agent.path / "file"))
            agent.signal(signal.SIGHUP)
            wait_for("the file", lambda: (agent.path / "file").exists())
            self.assertTrue(exporter(agent)["where"].endswith("/file"))
            self.moves_on(agent)
            agent.write_config(of_file(pipe))
            agent.signal(signal.SIGHUP)
            self.moves_on(agent)
            self.assertEqual(agent.end(), 0)
            os.close(reader)

    def test_a_server_that_never_answers(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/metrics"
            config = "".join(f'[exporters.hung{i}]\ntype = "otlp"\nurl = "{url}"\ninterval = "200ms"\n'
                             f'timeout = "10m"\n' for i in range(4))
            with Agent(config=config) as agent:
                peers = [listener.accept()[0] for _ in range(4)]
                agent.write_config("")
                agent.signal(signal.SIGHUP)
                wait_for("them to be gone", lambda: not agent.status()["exporters"])
                self.moves_on(agent)
                agent.write_config(config)
                agent.signal(signal.SIGHUP)
                peers += [listener.accept()[0] for _ in range(4)]
                self.assertEqual(agent.end(), 0)
                for peer in peers:
                    peer.close()


if __name__ == "__main__":
    main(150)
