/**
 * A chain of chips on one trace. `steps` are pairs of a name and a description.
 * The chain is horizontal on a wide screen and vertical on a phone.
 */
export function Circuit({ label, steps }) {
  return (
    <figure class="circuit">
      <ol aria-label={label}>
        {steps.map(([name, text]) => (
          <li key={name}>
            <b>{name}</b>
            <span>{text}</span>
          </li>
        ))}
      </ol>
    </figure>
  );
}
