/** As much of PromQL as it takes to hold expressions against what is exposed. */

export interface Selector {
  readonly metric: string
  readonly matchers: readonly Matcher[]
}

export interface Matcher {
  readonly label: string
  readonly operator: string
  readonly value: string
}

/** The selectors of metrics of AMT, and of `up`, which Prometheus itself makes. */
export function selectorsIn(expression: string): Selector[] {
  const found = expression.matchAll(/\b(amt_[a-z_]+|process_[a-z_]+|up\b)(?:\{([^}]*)\})?/g)
  return [...found].map(([, metric = '', inside = '']) => ({
    metric,
    matchers: [...inside.matchAll(/([a-z_]+)(=~|!~|!=|=)"([^"]*)"/g)].map(
      ([, label = '', operator = '', value = '']) => ({ label, operator, value }),
    ),
  }))
}

/** Labels that results are grouped by, or joined on. */
export function groupingsIn(expression: string): string[] {
  const found = expression.matchAll(/\b(?:by|without|on|ignoring) \(([^)]*)\)/g)
  return [...found].flatMap(([, labels = '']) => labels.split(',').map(label => label.trim()))
}

/** The samples of the text format: labels and their values by the name of the series. */
export function seriesIn(exposition: string): Map<string, Map<string, Set<string>>> {
  const series = new Map<string, Map<string, Set<string>>>()
  for (const [, name = '', inside = ''] of exposition.matchAll(/^([a-z_]+)(?:\{(.*)\})? \S+$/gm)) {
    const labels = series.get(name) ?? new Map<string, Set<string>>()
    series.set(name, labels)
    for (const [, label = '', value = ''] of inside.matchAll(/([a-z_]+)="([^"]*)"/g))
      labels.set(label, (labels.get(label) ?? new Set()).add(value))
  }
  return series
}
