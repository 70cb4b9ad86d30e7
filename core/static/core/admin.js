'use strict';
// Small comforts of the admin. Everything works without them, but autocompletes, which are Django's own script.
document.addEventListener('DOMContentLoaded', () => {
    const $ = django.jQuery;

    // Offer in a form's autocompletes only what its organization has.
    const organization = () => {
        const chosen = document.querySelector('#content-main form [name="organization"]');
        const fixed = document.querySelector('[data-organization]');
        return chosen ? chosen.value : fixed ? fixed.dataset.organization : '';
    };

    $.ajaxPrefilter((options) => {
        const asked = new URL(options.url, document.baseURI);
        const field = asked.searchParams.get('field_name');
        if (asked.pathname.endsWith('/autocomplete/') && field !== 'organization' && organization()) {
            asked.searchParams.set('organization', organization());
            options.url = asked.href;
        }
    });

    // A filter by autocomplete applies as soon as a row is chosen, or the choice taken back.
    $('select[data-filter]').on('select2:select select2:clear', (event) => event.target.form.submit());
});
