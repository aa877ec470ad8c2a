/** The curves of the quiet tenant as an SVG: one panel a scenario, in it each proxy, and AMT alone. */
import { type IsolationResult, mostOf, type ScenarioFigures } from './figures.ts'
import { amt } from './peers/amt.ts'
import { ALONE, SCENARIOS } from './scenarios.ts'

const COLUMNS = 3
const PANEL = { width: 300, height: 190 }
const GAP = { x: 62, y: 62 }
const TOP = 64
const COLOURS: Readonly<Record<string, string>> = {
  amt: '#0b62d6',
  haproxy: '#c8640a',
  envoy: '#7a3fb5',
}
const OTHER_COLOUR = '#444'
const ALONE_COLOUR = '#888'
const MOST_COLOUR = '#c0182b'
/** Where the curve ends. */
const ONE_IN_MOST = 1_000
const SHARES = [0.5, 0.9, 0.99, 0.999]

interface Scale {
  readonly min: number
  readonly max: number
}

export function isolationPicture({ figures, started, versions }: IsolationResult): string {
  const shown = figures.filter(({ curve }) => curve.length > 0)
  const scenarios = SCENARIOS.filter(
    ({ name }) => name !== ALONE && shown.some(({ scenario }) => scenario === name),
  )
  const scale = scaleOf(shown)
  const rows = Math.ceil(scenarios.length / COLUMNS)
  const width = GAP.x + Math.min(COLUMNS, scenarios.length) * (PANEL.width + GAP.x)
  const height = TOP + rows * (PANEL.height + GAP.y)
  const panels = scenarios.map(({ name, title }, index) => {
    const x = GAP.x + (index % COLUMNS) * (PANEL.width + GAP.x)
    const y = TOP + Math.floor(index / COLUMNS) * (PANEL.height + GAP.y)
    return `<g transform="translate(${x} ${y})">\n${[...panel({ name, title }, shown, scale)].join('\n')}\n</g>`
  })
  const peers = Object.keys(versions).filter(name => shown.some(({ peer }) => peer === name))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11" fill="#222">
<title>Latency of a quiet tenant beside a noisy one, ${started.slice(0, 10)}</title>
<rect width="${width}" height="${height}" fill="#fff"/>
${legend(peers)}
${panels.join('\n')}
</svg>
`
}

function legend(peers: readonly string[]): string {
  const entries = [
    ...peers.map(peer => ({ text: peer, colour: colourOf(peer), dashes: '' })),
    { text: 'amt alone', colour: ALONE_COLOUR, dashes: '4 3' },
    { text: 'most that the p99 of amt may be', colour: MOST_COLOUR, dashes: '' },
  ]
  return entries
    .map(({ text, colour, dashes }, index) => {
      const x = GAP.x + index * 130
      const line = `<line x1="${x}" x2="${x + 24}" y1="22" y2="22" stroke="${colour}" stroke-width="2.5" stroke-dasharray="${dashes}"/>`
      return `${line}<text x="${x + 30}" y="26">${text}</text>`
    })
    .join('\n')
}

function* panel(
  { name, title }: { readonly name: string; readonly title: string },
  all: readonly ScenarioFigures[],
  scale: Scale,
): Generator<string> {
  const { width, height } = PANEL
  yield `<text y="-8" font-size="12"><tspan font-weight="bold">${name}</tspan>: ${title}</text>`
  yield `<rect width="${width}" height="${height}" fill="none" stroke="#ccc"/>`
  for (const share of SHARES) {
    const x = xOf(share)
    yield `<line x1="${x}" x2="${x}" y2="${height}" stroke="#e4e4e4"/>`
    yield `<text x="${x}" y="${height + 14}" text-anchor="middle">p${share * 100}</text>`
  }
  for (const ms of decades(scale)) {
    const y = yOf(ms, scale)
    yield `<line x2="${width}" y1="${y}" y2="${y}" stroke="#e4e4e4"/>`
    yield `<text x="-6" y="${y + 4}" text-anchor="end">${ms} ms</text>`
  }
  const alone = all.find(({ scenario, peer }) => scenario === ALONE && peer === amt.name)
  if (alone !== undefined) {
    yield curve(alone, scale, `stroke="${ALONE_COLOUR}" stroke-dasharray="4 3"`)
    const y = yOf(mostOf(alone), scale)
    yield `<line x1="${xOf(0.985)}" x2="${xOf(0.9935)}" y1="${y}" y2="${y}" stroke="${MOST_COLOUR}" stroke-width="2.5"/>`
  }
  // Ours last, so that nothing hides it.
  const own = all.filter(({ scenario }) => scenario === name)
  for (const row of own.toReversed()) yield curve(row, scale, `stroke="${colourOf(row.peer)}"`)
}

function curve(row: ScenarioFigures, scale: Scale, stroke: string): string {
  const points = row.curve.map(({ share, ms }) => `${xOf(share)},${yOf(ms, scale)}`)
  return `<polyline points="${points.join(' ')}" fill="none" ${stroke} stroke-width="${row.peer === amt.name ? 2 : 1.5}"><title>${row.peer}, ${row.scenario}</title></polyline>`
}

function colourOf(peer: string): string {
  return COLOURS[peer] ?? OTHER_COLOUR
}

/** Each nine takes as much of the axis as the one before it. */
function xOf(share: number): number {
  const nines = Math.log(1 - share) / Math.log(1 / ONE_IN_MOST)
  return round(Math.min(1, nines) * PANEL.width)
}

function yOf(ms: number, { min, max }: Scale): number {
  const part = Math.log(ms / min) / Math.log(max / min)
  return round((1 - Math.min(1, Math.max(0, part))) * PANEL.height)
}

/** From one power of ten to another. */
function scaleOf(figures: readonly ScenarioFigures[]): Scale {
  const all = figures.flatMap(({ curve }) => curve.map(({ ms }) => ms))
  const min = 10 ** Math.floor(Math.log10(Math.min(1, ...all)))
  const max = 10 ** Math.ceil(Math.log10(Math.max(10, ...all)))
  return { min, max }
}

function decades({ min, max }: Scale): number[] {
  const count = Math.round(Math.log10(max / min)) + 1
  return Array.from({ length: count }, (_, index) => Number((min * 10 ** index).toPrecision(1)))
}

function round(pixels: number): number {
  return Math.round(pixels * 10) / 10
}
