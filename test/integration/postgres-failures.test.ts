import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type Test, t } from 'tap'
import { createMixerClient, type MixerClient } from '../../src/runtime/mixer-client.ts'
import { TestAuthority } from '../support/certificates.ts'
import { freePorts } from '../support/free-ports.ts'
import { testKilled } from '../support/ledger/kill-contract.ts'
import { openLedger, refusalOf } from '../support/ledger/open-ledger.ts'
import { NOON, record, report } from '../support/ledger/reports.ts'
import { startPostgres, WITHOUT_POSTGRES } from '../support/postgres.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'

t.setTimeout(300_000)
const skip = WITHOUT_POSTGRES
const QUERY = { from: 0, to: NOON * 2, dimensions: [], limit: 10 }

await t.test(
  'kill -9 of a mixer on PostgreSQL loses nothing acknowledged and doubles nothing',
  { skip },
  async t => {
    const server = await startPostgres(t)
    await testKilled(t, await server.createDatabase())
  },
)

await t.test(
  'PostgreSQL that crashes in the middle of reports and comes back has each once',
  { skip },
  async t => {
    const server = await startPostgres(t)
    const ledger = await server.createDatabase()
    const producers = ['p1', 'p2', 'p3', 'p4']
    const mixers = [
      await startMixer(t, { ledger, now: () => NOON, known: producers }),
      await startMixer(t, { ledger, now: () => NOON, known: producers }),
    ]
    const clients = mixers.map(({ url }) => createMixerClient({ url, token: TOKEN }))
    let away = 0
    let delivered = 0
    let stopped = false
    const tick = new EventTarget()
    // As a proxy does it: the next one when this one is acknowledged, and the same again until then.
    const deliver = async (client: MixerClient, producer: string): Promise<number> => {
      for (let sequence = 1; ; ) {
        const result = await client.report(
          report(sequence, [record(), record({ tenant: 'globex' })], producer),
        )
        if (result.ok) {
          delivered += 1
          if (result.durable !== sequence)
            throw new Error(`${result.durable} is durable of ${sequence}`)
          if (stopped) return sequence
          sequence += 1
        } else if (result.reason === 'unreachable') {
          away += 1
        } else throw new Error(result.detail)
        tick.dispatchEvent(new Event('tick'))
      }
    }
    const until = async (holds: () => boolean): Promise<void> => {
      while (!holds()) await once(tick, 'tick')
    }
    const done = Promise.all(
      producers.map((producer, index) => deliver(clients[index % 2] as MixerClient, producer)),
    )
    for (const crash of [1, 2]) {
      const before = delivered
      await until(() => delivered > before + 40)
      const failed = away
      await server.stop('SIGQUIT')
      await until(() => away > failed + 4)
      await server.start()
      t.comment(`crash ${crash}: ${delivered} delivered, ${away} failed`)
    }
    const before = delivered
    await until(() => delivered > before + 40)
    stopped = true
    const sequences = await done
    const calls = 2 * sequences.reduce((sum, last) => sum + last, 0)
    for (const client of clients) {
      t.match(await client.usage({ from: 0 }), {
        usage: { totals: { calls, egress: calls * 2_000 } },
      })
      await client.close()
    }
    t.match(mixers[0]?.log(), /the ledger cannot be written/)
  },
)

await t.test(
  'a report whose commit was answered to nobody is not applied again',
  { skip },
  async t => {
    const [port = 0] = await freePorts(1)
    const server = await startPostgres(t, '-c', 'listen_addresses=127.0.0.1', '-p', String(port))
    await server.query('postgres', 'CREATE DATABASE cut')
    const relay = await startCuttingRelay(t, port)
    const ledger = await openLedger(`postgres://amt@127.0.0.1:${relay.port}/cut`)
    t.match(await ledger.apply(report(1)), { kind: 'applied' })
    relay.cutAfterCommit()
    t.match(await ledger.apply(report(2)), { kind: 'unavailable' })
    t.same(await ledger.apply(report(2)), { kind: 'repeated', durable: 2 })
    const usage = await ledger.usage(QUERY)
    t.match(usage, { kind: 'usage', groups: [{ sums: { calls: 2n } }] })
    await ledger.close()
  },
)

/** Between a mixer and PostgreSQL: when told to, it passes the next COMMIT on and breaks the connection for its answer. */
async function startCuttingRelay(
  t: Test,
  target: number,
): Promise<{ readonly port: number; readonly cutAfterCommit: () => void }> {
  let cutting = false
  const sockets = new Set<Socket>()
  const relay = createServer(client => {
    const server = connect(target, '127.0.0.1')
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('error', () => {})
    }
    let cut = false
    client.on('data', (chunk: Buffer) => {
      // Not the READ COMMITTED of a BEGIN.
      if (cutting && /COMMIT(?!TED)/.test(chunk.toString('latin1'))) {
        cutting = false
        cut = true
      }
      server.write(chunk)
    })
    server.on('data', (chunk: Buffer) => {
      // The commit is done when its answer is here.
      if (cut) client.destroy()
      else client.write(chunk)
    })
    client.on('close', () => server.destroy())
    server.on('close', () => client.destroy())
  })
  relay.listen(0, '127.0.0.1')
  await once(relay, 'listening')
  t.teardown(() => {
    relay.close()
    for (const socket of sockets) socket.destroy()
  })
  return {
    port: (relay.address() as AddressInfo).port,
    cutAfterCommit: () => {
      cutting = true
    },
  }
}

await t.test('TLS to PostgreSQL is as the URL says, and verifies the server', { skip }, async t => {
  const [port = 0] = await freePorts(1)
  const authority = await TestAuthority.create(t)
  const { certPath, keyPath } = await authority.server(['localhost'], ['127.0.0.1'])
  const server = await startPostgres(t, '-c', 'listen_addresses=127.0.0.1', '-p', String(port))
  await server.query('postgres', 'CREATE DATABASE secret')
  // The server reads them as its own user from its own folder.
  const files = server.installCertificate(certPath, keyPath)
  await server.query('postgres', `ALTER SYSTEM SET ssl_cert_file = '${files.cert}'`)
  await server.query('postgres', `ALTER SYSTEM SET ssl_key_file = '${files.key}'`)
  await server.query('postgres', 'ALTER SYSTEM SET ssl = on')
  await server.stop()
  await server.start()
  const url = `postgres://amt@127.0.0.1:${port}/secret`
  const { certPath: another } = await TestAuthority.create(t)
  t.equal(
    await refusalOf(`${url}?sslmode=verify-full&sslrootcert=${authority.certPath}`),
    undefined,
  )
  t.equal(await refusalOf(`${url}?sslmode=require&sslrootcert=${authority.certPath}`), undefined)
  t.match(await refusalOf(`${url}?sslmode=verify-full&sslrootcert=${another}`), /certificate/)
  t.match(await refusalOf(`${url}?sslmode=require`), /certificate/)
  t.equal(await refusalOf(`${url}?sslmode=no-verify`), undefined)
  t.equal(await refusalOf(`${url}?sslmode=disable`), undefined)
  t.match(await refusalOf(`${url}?sslmode=verify-full&sslrootcert=missing.crt`), /missing\.crt/)
})
