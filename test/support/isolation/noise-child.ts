/** What makes the noise; see `noise-process.ts`. */
import { BAD_DEPLOYMENTS } from './bad-deployments.ts'
import { BadServer } from './bad-server.ts'
import type { Noise, NoiseAnswer, NoiseOrder } from './noise-process.ts'
import { NoisyCallers } from './noisy-callers.ts'

const VERSIONS = [1, 2] as const
/** Of clients of each version, at once. */
const CALLS = 50
/** Larger than all buffers on its way. */
const UPLOAD_OCTETS = 16 * 1024 * 1024

const servers = { 1: await BadServer.start(1), 2: await BadServer.start(2) }
let present = servers[1]
let callers: NoisyCallers[] = []

process.on('message', (order: NoiseOrder) => say(obey(order)))
process.on('disconnect', () => process.exit())
say({ kind: 'ready', urls: { 1: servers[1].url, 2: servers[2].url } })

function obey(order: NoiseOrder): NoiseAnswer {
  switch (order.kind) {
    case 'begin':
      begin(order.noise)
      return { kind: 'begun' }
    case 'end':
      for (const each of callers) each.end()
      return {
        kind: 'ended',
        figures: { connections: present.connections, over: callers.map(({ over }) => over) },
      }
    case 'open':
      return { kind: 'open', connections: present.open }
    case 'cut':
      present.cut()
      return { kind: 'cut' }
  }
}

function begin({ deployment, upstream, uploads = false, unread = false, port }: Noise): void {
  present = servers[upstream]
  present.serve = BAD_DEPLOYMENTS[deployment]
  const host = `noisy${upstream}.test`
  const body = uploads ? UPLOAD_OCTETS : undefined
  callers = VERSIONS.map(
    version => new NoisyCallers({ port, host, version, calls: CALLS, body, unread }),
  )
}

function say(answer: NoiseAnswer): void {
  process.send?.(answer)
}
