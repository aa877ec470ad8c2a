import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { test } from 'tap'
import type { ClientTrust } from '../../../../src/proxy/credential/client-trust.ts'
import { SourceTurns } from '../../../../src/proxy/limits/source-turns.ts'
import type { Addresses, Drainable } from '../../../../src/proxy/listener/arrival.ts'
import { type HandshakeOptions, Handshakes } from '../../../../src/proxy/listener/handshakes.ts'
import type { WorkerContext } from '../../../../src/proxy/worker/context.ts'

await test('no handshake begins on a socket that closed while it waited for its turn', async t => {
  let turn: (() => void) | undefined
  const failures: string[] = []
  const context = {
    handshakeTurns: new SourceTurns(run => {
      turn = run
    }),
    wheel: { arm: () => {}, cancel: () => {} },
    clock: { monotonic: () => 0, refresh: () => {} },
    config: { timeouts: { handshake: 1_000 } },
    stats: { rejected: () => {}, handshakeFailed: (why: string) => failures.push(why) },
  } as unknown as WorkerContext
  const begun: string[] = []
  const options = {
    listener: 0,
    servers: {
      trust: {} as ClientTrust,
      all: [],
      find: (name: string) => {
        begun.push(name)
        return new EventEmitter()
      },
    },
    most: 2,
    refusals: { log: () => {} },
    secured: () => {},
  } as unknown as HandshakeOptions
  const connections = new Set<Drainable>()
  const handshakes = new Handshakes(context, options, connections)
  const [gone, staying] = [new EventEmitter(), new EventEmitter()] as unknown as [Socket, Socket]
  for (const [socket, name] of [
    [gone, 'gone'],
    [staying, 'staying'],
  ] as const) {
    handshakes.take(socket, {} as Addresses)
    handshakes.begin(socket, name)
  }
  gone.emit('close')
  turn?.()
  t.same(begun, ['staying'])
  await new Promise(resolve => {
    setImmediate(resolve)
  })
  t.same(failures, ['client_closed'], 'and it is counted, once')
  t.equal(connections.size, 1)
})
