import { fork } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'tap'
import { AcceptQueues, acceptQueueLimit, longestIn } from '../../../src/runtime/accept-queue.ts'

const TITLE =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'

const line = (local: string, state: string, rx: string): string =>
  `   0: ${local} 00000000:0000 ${state} 00000000:${rx} 00:00000000 00000000     0        0 24964197 1 0 100 0 0 10 0\n`

await test('the longest queue of our listeners counts, and no other', t => {
  const table =
    TITLE +
    line('0100007F:1F90', '0A', '00000003') +
    line('00000000:1F90', '0A', '000000FF') +
    line('0100007F:1F91', '0A', '00000400')
  t.equal(longestIn(table, new Set([8080])), 255)
  t.equal(longestIn(table, new Set([8081, 8080])), 1_024)
  t.equal(longestIn(table, new Set([1])), undefined)
  t.end()
})

await test('connections are not listeners, and half a line is none', t => {
  const table =
    TITLE +
    line('0100007F:1F90', '01', '00000400') +
    line('0100007F:1F90', '0A', '00000400').slice(0, 60)
  t.equal(longestIn(table, new Set([8080])), undefined)
  t.equal(longestIn('', new Set([8080])), undefined)
  t.equal(longestIn(TITLE, new Set([8080])), undefined)
  t.end()
})

await test('a table without listeners of ours is left alone for a minute, or until there are others', t => {
  const asked: string[] = []
  const tables = new Map([
    ['/proc/net/tcp', TITLE + line('00000000:1F90', '0A', '00000003')],
    ['/proc/net/tcp6', TITLE],
  ])
  const queues = new AcceptQueues(path => {
    asked.push(path)
    return tables.get(path) ?? ''
  })
  const ports = new Set([8080])
  t.equal(queues.longest(ports, 1_000), 3)
  t.same(asked.splice(0), ['/proc/net/tcp', '/proc/net/tcp6'])
  t.equal(queues.longest(ports, 2_000), 3)
  t.same(asked.splice(0), ['/proc/net/tcp'])
  tables.set('/proc/net/tcp6', TITLE + line(`${'0'.repeat(32)}:1F90`, '0A', '00000007'))
  t.equal(queues.longest(ports, 61_000), 7, 'an address that has come')
  t.same(asked.splice(0), ['/proc/net/tcp', '/proc/net/tcp6'])
  tables.delete('/proc/net/tcp6')
  for (const now of [62_000, 63_000]) {
    t.equal(queues.longest(ports, now), 3)
    t.same(asked.splice(0), ['/proc/net/tcp', '/proc/net/tcp6'], 'it could not be read')
  }
  tables.set('/proc/net/tcp6', TITLE)
  queues.longest(ports, 64_000)
  t.equal(queues.longest(new Set(ports), 65_000), 3)
  t.same(asked.splice(0).slice(2), ['/proc/net/tcp', '/proc/net/tcp6'], 'other listeners')
  t.equal(queues.longest(new Set(), 66_000), 0)
  t.same(asked, [], 'who listens nowhere has no queue')
  t.end()
})

await test('connections that nobody accepts are seen in the accept queue', {
  skip: process.platform !== 'linux' && 'accept queues are known on Linux alone',
}, async t => {
  const blocked = `
    const server = require('node:net').createServer()
    server.listen({ port: 0, host: '127.0.0.1', backlog: 64 }, () => {
      process.send(server.address().port, () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000))
    })`
  const child = fork('-e', [blocked], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const [port] = (await once(child, 'message')) as [number]
  const ports = new Set([port])
  const queues = new AcceptQueues()
  t.equal(queues.longest(ports, 0), 0)
  const clients = Array.from({ length: 20 }, () => net.connect({ port, host: '127.0.0.1' }))
  await Promise.all(clients.map(client => once(client, 'connect')))
  t.equal(queues.longest(ports, 500), 20)
  for (const client of clients) client.destroy()
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
  t.equal(queues.longest(ports, 1_000), 0)
})

await test('a queue is no longer than the system allows', t => {
  t.ok(acceptQueueLimit(10) <= 10)
  t.ok(acceptQueueLimit(1_000_000) >= 128)
  t.end()
})
