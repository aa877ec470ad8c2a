/** The alert rules and the dashboard in deploy/: they are valid, and speak of metrics, labels and values that there are. */
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { ERRORS } from '../../../src/core/errors.ts'
import { CODE_CLASSES } from '../../../src/core/routability.ts'
import { mixerExposition, proxyExposition } from '../../support/metric-exposition.ts'
import { runCommand, skipWithout } from '../../support/program.ts'
import { groupingsIn, type Matcher, selectorsIn, seriesIn } from '../../support/promql.ts'

const DEPLOY = join(import.meta.dirname, '../../../deploy')
const PROMETHEUS = join(DEPLOY, 'prometheus')
const DOCS = join(import.meta.dirname, '../../../docs')
const skip = skipWithout({ promtool: 'prometheus' })

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

interface Panel {
  readonly id: number
  readonly title: string
  readonly type: string
  readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>
  readonly targets?: readonly {
    readonly expr: string
    readonly legendFormat: string
    readonly datasource: { readonly uid: string }
  }[]
}

interface Dashboard {
  readonly uid: string
  readonly panels: readonly Panel[]
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly query: unknown }[]
  }
}

const { groups } = parse(readFileSync(join(PROMETHEUS, 'alerts.yaml'), 'utf8')) as {
  groups: { rules: Rule[] }[]
}
const RULES = groups.flatMap(({ rules }) => rules)
const DASHBOARD = JSON.parse(readFileSync(join(DEPLOY, 'grafana/amt.json'), 'utf8')) as Dashboard
/** Each expression with the place that it stands at. */
const EXPRESSIONS = [
  ...RULES.map(({ alert, expr }) => ({ place: alert, expr })),
  ...DASHBOARD.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ place: title, expr })),
  ),
]

/** Labels that Prometheus adds to each series. */
const ADDED = ['job', 'instance', 'le']
/** Labels whose values are closed sets that the expositions of the tests do not have in full. */
const CLOSED: Readonly<Record<string, readonly string[]>> = {
  code: CODE_CLASSES,
  reason: Object.keys(ERRORS),
  result: ['accepted', 'failed', 'refused', 'gap', 'ok', 'unavailable'],
}
/** Values of these are names of the configuration. */
const OPEN = new Set(['tenant', 'job', 'instance'])

const exposed = seriesIn(`${await proxyExposition()}${await mixerExposition()}`)

await test('each metric that an alert or a panel uses exists, with its labels', t => {
  t.ok(EXPRESSIONS.length > 80, 'all are looked at')
  for (const { place, expr } of EXPRESSIONS) {
    const selectors = selectorsIn(expr)
    t.not(selectors.length, 0, `${place} is about something`)
    const labels = new Set(ADDED)
    for (const { metric, matchers } of selectors) {
      const of = metric === 'up' ? new Map<string, Set<string>>() : exposed.get(metric)
      t.ok(of, `${place}: ${metric}`)
      for (const label of of?.keys() ?? []) labels.add(label)
      for (const matcher of matchers)
        t.same(faultsOf(matcher, of), [], `${place}: ${metric} ${matcher.label}`)
    }
    t.same(
      groupingsIn(expr).filter(label => !labels.has(label)),
      [],
      `${place}: groups by labels that there are`,
    )
  }
  t.end()
})

await test('legends and summaries name labels that their results have', t => {
  const texts = [
    ...RULES.map(({ expr, annotations }) => ({
      expr,
      used: namesIn(JSON.stringify(annotations), /\$labels\.([a-z_]+)/g),
    })),
    ...DASHBOARD.panels.flatMap(({ targets = [] }) =>
      targets.map(({ expr, legendFormat }) => ({
        expr,
        used: namesIn(legendFormat, /\{\{([a-z_]+)\}\}/g),
      })),
    ),
  ]
  for (const { expr, used } of texts) {
    const groupings = groupingsIn(expr.replace(/\bon \([^)]*\)/g, ''))
    const kept = /\b(?:sum|max|min|avg|count)\(/.test(expr) ? [] : ADDED
    const labels = /\bby \(/.test(expr)
      ? groupings
      : [
          ...kept,
          ...selectorsIn(expr).flatMap(({ metric }) => [...(exposed.get(metric)?.keys() ?? [])]),
        ]
    t.same(
      used.filter(label => !labels.includes(label)),
      [],
      expr,
    )
  }
  t.end()
})

await test('each alert says how bad it is and what to do, under a name of its own', t => {
  t.equal(new Set(RULES.map(({ alert }) => alert)).size, RULES.length)
  const page = readFileSync(join(DOCS, 'monitoring.md'), 'utf8')
  for (const { alert, labels, annotations } of RULES) {
    t.match(alert, /^Amt[A-Z][A-Za-z]+$/)
    t.ok(['page', 'ticket'].includes(labels.severity), `${alert}: ${labels.severity}`)
    t.match(annotations.summary, /\{\{/, `${alert}: of whom`)
    t.match(annotations.description, /\.$/, `${alert}: what to do`)
    t.ok(
      page.includes(`| \`${alert}\` | ${labels.severity} |`),
      `${alert} stands in docs/monitoring.md`,
    )
  }
  t.end()
})

await test('the dashboard is whole: panels have ids of their own, do not lie over each other, and ask the chosen source', t => {
  const { panels, templating } = DASHBOARD
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
  )
  t.equal(new Set(cells).size, cells.length)
  t.ok(panels.every(({ gridPos: { x, w } }) => x + w <= 24))
  const asked = panels.flatMap(({ targets = [] }) =>
    targets.map(({ datasource }) => datasource.uid),
  )
  t.same([...new Set(asked)], [`\${datasource}`])
  const variables = new Set(templating.list.map(({ name }) => name))
  const used = namesIn(JSON.stringify(panels), /\$\{?([a-z]+)\b/g)
  t.same(
    [...new Set(used)].filter(name => !variables.has(name)),
    [],
    'each variable is defined',
  )
  t.end()
})

await test('promtool finds nothing in rules and configuration, and the alerts fire as their tests say', {
  skip,
}, async t => {
  for (const args of [
    ['check', 'rules', 'alerts.yaml'],
    ['test', 'rules', 'alerts.test.yaml'],
    ['check', 'config', 'prometheus.yml'],
  ]) {
    const { code, stdout, stderr } = await runCommand(['promtool', args], { cwd: PROMETHEUS })
    t.equal(code, 0, `${args.join(' ')}: ${stdout.toString()}${stderr}`)
  }
})

await test('promtool can read each expression of the dashboard', { skip }, async t => {
  const rules = EXPRESSIONS.map(({ expr }, index) => ({
    record: `panel_${index}`,
    expr: expr.replaceAll('$__rate_interval', '5m'),
  }))
  const file = join(t.testdir(), 'rules.yaml')
  // JSON is YAML, too.
  await writeFile(file, JSON.stringify({ groups: [{ name: 'panels', rules }] }))
  const { code, stdout, stderr } = await runCommand(['promtool', ['check', 'rules', file]])
  t.equal(code, 0, `${stdout.toString()}${stderr}`)
})

/** What is asked of a label that there is not, or of a value that it never has. */
function faultsOf(
  { label, operator, value }: Matcher,
  labels: ReadonlyMap<string, ReadonlySet<string>> | undefined,
): string[] {
  if (ADDED.includes(label)) return []
  const values = labels?.get(label)
  if (values === undefined) return [`no label ${label}`]
  if (OPEN.has(label)) return []
  const all = [...values, ...(CLOSED[label] ?? [])]
  return operator.includes('~')
    ? value.split('|').filter(one => !all.some(known => new RegExp(`^(?:${one})$`).test(known)))
    : [value].filter(one => !all.includes(one))
}

function namesIn(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, name = '']) => name)
}
