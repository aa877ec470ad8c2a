/** Debian's etcd as a deployment that speaks gRPC, and its client. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePorts } from './free-ports.ts'
import { listening, Program, skipWithout } from './program.ts'

/** For the `skip` of tests: why they cannot run here, or false. */
export const WITHOUT_ETCD: string | false = skipWithout({
  etcd: 'etcd-server',
  etcdctl: 'etcd-client',
})

/** An empty one in `folder`, as a configuration names it. */
export async function startEtcd(t: Test, folder: string, name: string): Promise<string> {
  const [clients = 0, peers = 0] = await freePorts(2)
  const data = join(folder, name)
  mkdirSync(data, { recursive: true, mode: 0o700 })
  const [client, peer] = [`http://127.0.0.1:${clients}`, `http://127.0.0.1:${peers}`]
  const program = new Program(t, [
    'etcd',
    [
      '--name',
      name,
      '--data-dir',
      data,
      '--log-level',
      'error',
      '--unsafe-no-fsync',
      '--listen-client-urls',
      client,
      '--advertise-client-urls',
      client,
      '--listen-peer-urls',
      peer,
      '--initial-advertise-peer-urls',
      peer,
      '--initial-cluster',
      `${name}=${peer}`,
    ],
  ])
  await listening(program, clients)
  return `h2c://127.0.0.1:${clients}`
}
