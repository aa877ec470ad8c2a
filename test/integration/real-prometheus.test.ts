/** A real Prometheus scrapes a real proxy and a real mixer, with the alert rules and the dashboard of deploy/. */
import { once } from 'node:events'
import { cp, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { t, test } from 'tap'
import { request } from 'undici'
import { stringify } from 'yaml'
import { freePorts } from '../support/free-ports.ts'
import { listening, Program, skipWithout } from '../support/program.ts'
import { readUntil, startAmt } from '../support/running-amt.ts'

t.setTimeout(180_000)

/** Scrapes and evaluations of a Prometheus on a machine that may be busy. */
const PATIENCE_MS = 60_000
const DEPLOY = join(import.meta.dirname, '../../deploy')
const skip = skipWithout({ prometheus: 'prometheus' })

interface Answer<Data> {
  readonly status: string
  readonly error?: string
  readonly data: Data
}

interface Vector {
  readonly result: readonly { readonly value: readonly [number, string] }[]
}

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly { readonly health: string; readonly name: string }[]
  }[]
}

await test('Prometheus takes the metrics of proxy and mixer, evaluates each alert, and answers each question of the dashboard', {
  skip,
}, async t => {
  const folder = t.testdir()
  const deployment = createServer((_, response) => response.end('ok')).listen(0, '127.0.0.1')
  await once(deployment, 'listening')
  t.teardown(() => {
    deployment.close()
    deployment.closeAllConnections()
  })
  const [admin = 0, port = 0] = await freePorts(2)
  const { port: upstream } = deployment.address() as AddressInfo
  const amt = await startAmt(t, folder, {
    admin: { address: `127.0.0.1:${admin}` },
    listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
    tenants: [
      {
        id: 'acme',
        hosts: ['acme.example.com'],
        deployment: { endpoints: [`http://127.0.0.1:${upstream}`] },
      },
    ],
  })
  await startPrometheus(t, folder, [`127.0.0.1:${admin}`, new URL(amt.mixerUrl).host], port)
  const api = async <Data>(path: string): Promise<Answer<Data>> =>
    (await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)).json() as Promise<Answer<Data>>
  const valueOf = async (query: string): Promise<number | undefined> => {
    const { data } = await api<Vector>(`query?query=${encodeURIComponent(query)}`)
    const value = data.result[0]?.value[1]
    return value === undefined ? undefined : Number(value)
  }
  const { host, port: listener } = amt.address('public')
  for (let call = 0; call < 3; call += 1) {
    // Not fetch, which takes no `Host`.
    const { statusCode, body } = await request(`http://${host}:${listener}/`, {
      headers: { host: 'acme.example.com' },
    })
    await body.dump()
    t.equal(statusCode, 200)
  }

  const seenAs = async (query: string, value: number): Promise<void> => {
    const seen = await readUntil(
      async () => valueOf(query),
      found => found === value,
      PATIENCE_MS,
    )
    t.equal(seen, value, query)
  }
  await seenAs('sum(amt_calls_total{tenant="acme",code="2xx"})', 3)
  await seenAs('sum(up)', 2)
  await seenAs('sum(amt_mixer_records_total) > bool 0', 1)
  // Twice scraped, so that there is a rate.
  await seenAs('count(rate(amt_calls_total[30s])) > bool 0', 1)
  await seenAs('count(rate(amt_mixer_records_total[30s])) > bool 0', 1)

  const rules = await readUntil(
    async () => (await api<Rules>('rules')).data.groups.flatMap(group => group.rules),
    all => all.every(({ health }) => health !== 'unknown'),
    PATIENCE_MS,
  )
  t.ok(rules.length > 30)
  t.same(
    rules.filter(({ health }) => health !== 'ok'),
    [],
    'each alert can be evaluated',
  )
  t.equal(await valueOf('count(ALERTS{alertstate="firing"})'), undefined, 'and none fires')

  const { panels } = JSON.parse(await readFile(join(DEPLOY, 'grafana/amt.json'), 'utf8')) as {
    panels: { title: string; targets?: { expr: string }[] }[]
  }
  const empty: string[] = []
  for (const { title, targets = [] } of panels)
    for (const { expr } of targets) {
      const query = expr.replaceAll('$__rate_interval', '30s').replaceAll(/\$[a-z]+/g, '.*')
      const answer = await api<Vector>(`query?query=${encodeURIComponent(query)}`)
      t.equal(answer.status, 'success', `${title}: ${answer.error ?? ''}`)
      if (answer.data.result.length === 0) empty.push(title)
    }
  // There is no TLS, no limit was met, nothing is exported, and nothing went wrong.
  const unused = /TLS|limit|Refused|Token|exported|acknowledged|[Cc]ertificate|Failed|Quotas/
  t.same(
    empty.filter(title => !unused.test(title)),
    [],
    'all others show something',
  )
})

type Tap = ConstructorParameters<typeof Program>[0]

/** Scrapes the first target as a proxy and the second as a mixer, once a second. */
async function startPrometheus(
  t: Tap,
  folder: string,
  [proxy, mixer]: readonly [string, string],
  port: number,
): Promise<void> {
  await cp(join(DEPLOY, 'prometheus/alerts.yaml'), join(folder, 'alerts.yaml'))
  const job = (name: string, target: string): object => ({
    job_name: name,
    static_configs: [{ targets: [target] }],
  })
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['alerts.yaml'],
    scrape_configs: [job('amt', proxy), job('amt-mixer', mixer)],
  }
  const file = join(folder, 'prometheus.yml')
  await writeFile(file, stringify(config))
  const args = [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(folder, 'tsdb')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]
  const prometheus = new Program(t, ['prometheus', args])
  await listening(prometheus, port)
}
