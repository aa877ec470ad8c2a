/** Rules for exports: no usage may be billed twice, and secrets should not travel readable. */
import { resolve } from 'node:path'
import { Claims, type Draft, type Verdicts } from './draft.ts'
import type { ExportConfig } from './export-schema.ts'
import { fileFault } from './files.ts'
import { mention, type Place, placeIn } from './problem.ts'

export function checkExports(draft: Draft, verdicts: Verdicts): void {
  const names = new Claims()
  const fed = new Claims()
  for (const [index, each] of (draft.exports ?? []).entries()) {
    const place = placeIn(draft.root, 'exports', index)
    const first = names.claim(each.name, placeIn(place, 'name'))
    if (first)
      verdicts.problem(
        placeIn(place, 'name'),
        `the name ${each.name} is also that of ${mention(first)}`,
      )
    checkFedOnce(each, place, { fed, verdicts })
    checkTransport(each, place, verdicts)
    if (each.kind === 'stripe' && each.customersFile !== undefined) {
      const file = resolve(place.source.directory, each.customersFile)
      const fault = fileFault(file)
      if (fault !== undefined)
        verdicts.problem(placeIn(place, 'customersFile'), `the file ${file} ${fault}`)
    }
  }
}

/** The same metric into the same place twice would be summed there. */
function checkFedOnce(
  each: ExportConfig,
  place: Place,
  { fed, verdicts }: { fed: Claims; verdicts: Verdicts },
): void {
  const where = destination(each, place)
  if (where === undefined) return
  for (const [index, metric] of each.metrics.entries()) {
    const at = placeIn(place, 'metrics', index)
    const first = fed.claim(JSON.stringify([where, metric]), at)
    if (first)
      verdicts.problem(
        at,
        `${metric} already goes to the same place by ${mention(first)}, and would be billed twice`,
      )
  }
}

function destination(each: ExportConfig, place: Place): readonly string[] | undefined {
  switch (each.kind) {
    case 'cloudevents':
      return [each.kind, each.url, each.token ?? '']
    case 'stripe':
      return [each.kind, each.url, each.apiKey]
    case 'file':
      return [each.kind, resolve(place.source.directory, each.directory), each.name]
    case 'prometheus':
      return undefined
  }
}

function checkTransport(each: ExportConfig, place: Place, verdicts: Verdicts): void {
  if (each.kind !== 'cloudevents' && each.kind !== 'stripe') return
  const secret =
    each.kind === 'stripe' || each.token !== undefined || Object.keys(each.headers).length > 0
  const { protocol, hostname } = new URL(each.url)
  const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
  if (secret && protocol === 'http:' && !loopback)
    verdicts.warning(
      placeIn(place, 'url'),
      'without TLS the key of this export travels readable; use https',
    )
}
