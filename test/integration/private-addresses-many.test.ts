/** `bind: each` for thousands of addresses, as the whole program. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { t as root, test } from 'tap'
import { AMT, asAtShell } from '../support/amt.ts'
import { freePorts } from '../support/free-ports.ts'
import { answering, manualDeployment } from '../support/manual-deployment.ts'
import { Peer } from '../support/peer.ts'
import { Program } from '../support/program.ts'
import { ok, readAnswer } from '../support/proxy-lab.ts'
import { FIT_FOR_TESTS, launchPart, MIXER, readyLine } from '../support/running-amt.ts'

root.setTimeout(120_000)

const COUNT = 2_000
/** A hundredth of it would do on an idle machine. */
const START_MS = 40_000

const addressOf = (index: number): string => `127.9.${index >> 8}.${index & 255}`

function tenants(count: number, port: number): string {
  const lines = Array.from({ length: count }, (_, index) =>
    JSON.stringify({
      id: `t${index}`,
      address: addressOf(index),
      deployment: { endpoints: [`http://127.0.0.1:${port}`] },
    }),
  )
  return lines.join('\n')
}

const settings = (port: number): Record<string, unknown> => ({
  ...FIT_FOR_TESTS,
  listeners: [{ name: 'each', mode: 'private', port, protocol: 'http' }],
  tenantSources: [{ file: 'tenants.jsonl' }],
  mixer: { ...MIXER, url: 'http://127.0.0.1:9' },
})

await test('two thousand addresses with two workers start in reasonable time', async t => {
  const deployment = await manualDeployment({ serve: answering(ok('here')) })
  t.teardown(() => deployment.close())
  const [port = 0] = await freePorts(1)
  const folder = t.testdir({ 'tenants.jsonl': tenants(COUNT, deployment.port) })
  const began = performance.now()
  const proxy = await launchPart(t, 'proxy', folder, settings(port))
  const { bound } = await readyLine(proxy)
  const took = performance.now() - began
  t.comment(`ready after ${Math.round(took)} ms`)
  t.ok(took < START_MS, `${took} ms`)
  t.equal((bound as unknown[]).length, COUNT)
  for (const index of [0, 1, 255, 256, 1_234, COUNT - 1]) {
    const socket = connect(port, addressOf(index))
    await once(socket, 'connect')
    const client = new Peer(socket)
    await client.send('GET / HTTP/1.1\r\nhost: any\r\n\r\n')
    t.equal((await readAnswer(client)).body, 'here')
    client.reset()
  }
  t.equal(await proxy.stop(), 0)
})

await test('too few open files for the addresses are an error that says so', async t => {
  const [port = 0] = await freePorts(1)
  const folder = t.testdir({
    'tenants.jsonl': tenants(400, 9),
    'amt.yaml': JSON.stringify(settings(port)),
  })
  const limited = ['-c', 'ulimit -n 500 && exec "$0" "$@"', AMT]
  const proxy = new Program(
    t,
    asAtShell('sh', [...limited, 'proxy', '--config', `${folder}/amt.yaml`]),
  )
  const line = await proxy.line(/cannot start/)
  t.match(
    line,
    /bind: each needs an open file for each address, in all 400 and 256 besides, and a process may have 500; raise the limit \(ulimit -n, LimitNOFILE=\), or use bind: wildcard/,
  )
  t.equal(await proxy.ended, 1)
})
