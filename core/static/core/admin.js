'use strict';
// Small comforts of the admin. Everything works without them, but autocompletes, which are Django's own script.
{
    const $ = django.jQuery;

    // Offer in a form's autocompletes only what its organization has.
    const organization = () => {
        const field = document.querySelector('#content-main form [name="organization"]');
        const fixed = document.querySelector('[data-organization]');
        return field ? field.value : fixed ? fixed.dataset.organization : '';
    };

    $.ajaxPrefilter((options) => {
        if (organization() && options.url.includes('/autocomplete/') && !options.url.includes('field_name=organization')) {
            options.url += `&organization=${encodeURIComponent(organization())}`;
        }
    });

    // A filter by autocomplete applies as soon as a row is chosen.
    $(() => $('select[data-filter]').on('select2:select', (event) => event.target.form.submit()));
}
