"""Attacks on the network: out of the sandbox, to the machine and to the world."""

import os
import socket

from attempts import SECRET, vector


def ask(sock, address):
    """Sends a word to whoever is there, and returns what they say if it is the secret."""
    sock.settimeout(4)
    sock.connect(address)
    sock.send(b"hello")
    answer = sock.recv(200)
    if SECRET not in answer:
        raise RuntimeError(f"somebody else answered: {answer!r}")
    return "heard a secret of the machine"


@vector("machine-by-tcp")
def machine_by_tcp(world):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        return ask(sock, ("127.0.0.1", world.tcp_port))


@vector("machine-by-udp")
def machine_by_udp(world):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return ask(sock, ("127.0.0.1", world.udp_port))


@vector("machine-by-abstract-socket")
def machine_by_abstract_socket(world):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        return ask(sock, "\0" + world.abstract_name)


def plant_listener(world):
    path = f"/tmp/listener-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(path)
        sock.listen()
        if os.fork() == 0:
            peer = sock.accept()[0]
            peer.recv(16)
            peer.send(SECRET)
            os._exit(0)
    world.targets["unix_path"] = path


@vector("machine-by-unix-socket", planted=plant_listener)
def machine_by_unix_socket(world):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        return ask(sock, world.unix_path)


@vector("docker-socket", planted=plant_listener)
def docker_socket(world):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        return ask(sock, world.unix_path if world.planted else "/var/run/docker.sock")


def reach(address):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(4)
        sock.connect(address)
    return f"connected to {address}"


@vector("internet")
def internet(world):
    return reach(("1.1.1.1", 443))


@vector("cloud-metadata")
def cloud_metadata(world):
    return reach(("169.254.169.254", 80))


@vector("name-server")
def name_server(world):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(4)
        sock.sendto(bytes.fromhex("000101000001000000000000076578616d706c6503636f6d0000010001"), ("8.8.8.8", 53))
        return f"answered with {len(sock.recv(512))} bytes"


@vector("resolve-name")
def resolve_name(world):
    return f"resolved to {socket.getaddrinfo('example.com', 443)[0][4]}"


@vector("listen")
def listen(world):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        return f"listens on {sock.getsockname()}"
